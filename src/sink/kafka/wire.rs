//! Numbers, texts and lists as Kafka writes them, both ways (Kafka protocol guide, "Protocol Primitive Types"; the forms before
//! compact ones came). Reading believes nothing: every length is held against what is there.

/// What is written.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn i8(&mut self, value: i8) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// STRING. Names of topics, clients and mechanisms, all of them short by validation.
    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        self.i16(i16::try_from(text.len()).expect("a name in a request is short")).raw(text.as_bytes())
    }

    /// The null of NULLABLE_STRING.
    pub(super) fn null_string(&mut self) -> &mut Self {
        self.i16(-1)
    }

    /// The null of COMPACT_NULLABLE_STRING.
    pub(super) fn compact_null(&mut self) -> &mut Self {
        self.i8(0)
    }

    /// Tagged fields, of which we have none.
    pub(super) fn no_tags(&mut self) -> &mut Self {
        self.i8(0)
    }

    /// BYTES.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    /// The length of an ARRAY or of BYTES.
    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        self.i32(i32::try_from(count).expect("a batch is far below 2 GiB"))
    }

    /// VARINT and VARLONG: zigzag, seven bits a byte, the lowest first.
    pub(super) fn varint(&mut self, value: i64) -> &mut Self {
        let mut rest = value.cast_unsigned() << 1 ^ (value >> 63).cast_unsigned();
        while 0x7f < rest {
            self.0.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self
    }

    /// A length as VARINT, and the bytes.
    pub(super) fn var_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.varint(bytes.len() as i64).raw(bytes)
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// An answer ended too early, or says something that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbled;

/// What is read, from the front.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn i16(&mut self) -> Result<i16, Garbled> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Garbled> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Garbled> {
        self.fixed().map(i64::from_be_bytes)
    }

    pub(super) fn bool(&mut self) -> Result<bool, Garbled> {
        self.fixed().map(|[byte]: [u8; 1]| byte != 0)
    }

    /// STRING and NULLABLE_STRING.
    pub(super) fn string(&mut self) -> Result<Option<&'a str>, Garbled> {
        match self.i16()? {
            -1 => Ok(None),
            length => {
                let bytes = self.take(usize::try_from(length).map_err(|_| Garbled)?)?;
                std::str::from_utf8(bytes).map(Some).map_err(|_| Garbled)
            }
        }
    }

    /// BYTES and NULLABLE_BYTES; null reads as nothing.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Garbled> {
        match self.i32()? {
            -1 => Ok(&[]),
            length => self.take(usize::try_from(length).map_err(|_| Garbled)?),
        }
    }

    /// ARRAY; null reads as nothing. Nothing is set aside for a length that the bytes do not bear out.
    pub(super) fn array<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, Garbled>) -> Result<Vec<T>, Garbled> {
        let count = self.i32()?;
        let mut list = Vec::new();
        for _ in 0..count.max(0) {
            // An element of no bytes does not exist, so a lying count runs out of bytes.
            list.push(one(self)?);
        }
        Ok(list)
    }

    /// Tagged fields, which nobody here knows.
    pub(super) fn skip_tags(&mut self) -> Result<(), Garbled> {
        for _ in 0..self.unsigned()? {
            let _tag = self.unsigned()?;
            let size = self.unsigned()?;
            self.take(usize::try_from(size).map_err(|_| Garbled)?)?;
        }
        Ok(())
    }

    /// UNSIGNED_VARINT.
    fn unsigned(&mut self) -> Result<u32, Garbled> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Garbled)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Garbled)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Garbled> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Garbled)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_zigzag_with_the_lowest_bits_first() {
        let check = |value: i64, expected: &[u8]| {
            let mut writer = Writer::default();
            writer.varint(value);
            assert_eq!(writer.0, expected, "{value}");
        };
        // Vectors of Kafka's own ByteUtilsTest.
        check(0, &[0]);
        check(-1, &[1]);
        check(1, &[2]);
        check(63, &[0x7e]);
        check(-64, &[0x7f]);
        check(64, &[0x80, 0x01]);
        check(8191, &[0xfe, 0x7f]);
        check(-8193, &[0x81, 0x80, 0x01]);
        check(i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]);
        check(i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }

    #[test]
    fn lengths_that_lie_are_found_out() {
        assert_eq!(Reader(&[0x7f, 0xff, 0xff, 0xff, 0]).array(|reader| reader.bool()), Err(Garbled));
        assert_eq!(Reader(&[0, 9, b'x']).string(), Err(Garbled));
        assert_eq!(Reader(&[0xff, 0xfe]).string(), Err(Garbled));
        assert_eq!(Reader(&[0x80, 0, 0, 0]).bytes(), Err(Garbled));
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff]).array(|reader| reader.i16()), Ok(vec![]));
        assert_eq!(Reader(&[0xff, 0xff]).string(), Ok(None));
        assert_eq!(Reader(&[0]).skip_tags(), Ok(()));
        assert_eq!(Reader(&[1, 0x80, 1, 2, 7, 7]).skip_tags(), Ok(()));
        assert_eq!(Reader(&[1, 0, 2, 7]).skip_tags(), Err(Garbled));
        assert_eq!(Reader(&[0xff; 6]).skip_tags(), Err(Garbled));
    }
}
