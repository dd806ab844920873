//! The table of `docs/delivery.md` names tests that exist.

use std::path::Path;

/// Rows that name a test, at least: fewer mean that the table is not read as it is written.
const ROWS_MIN: usize = 30;

#[test]
fn every_test_that_the_promises_name_exists() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(top.join("docs/delivery.md")).expect("the page");
    let quoted = page.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: Vec<_> = quoted.filter_map(|name| name.split_once(".rs::")).collect();
    assert!(ROWS_MIN < named.len(), "{named:?}");
    let is_there = |(file, test): &(&str, &str)| {
        let text = std::fs::read_to_string(top.join(file).with_extension("rs")).unwrap_or_default();
        text.contains(&format!("fn {test}("))
    };
    let missing: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "docs/delivery.md names tests that do not exist: {missing:#?}");
}
