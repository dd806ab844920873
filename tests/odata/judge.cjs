// Reads URL query strings, one a line, and prints for each what third-party OData parsers make of it:
// `odata-v4-parser:OK @odata/parser:REJECT`. Percent escapes are decoded first, as a server does; `+` stays a plus.
'use strict';
const readline = require('node:readline');
const v4 = require('odata-v4-parser');
const { defaultParser } = require('@odata/parser');

const judges = [
    ['odata-v4-parser', (query) => v4.query(query)],
    ['@odata/parser', (query) => defaultParser.query(query)],
];

function verdict(name, parse, query) {
    try {
        parse(decodeURIComponent(query));
        return `${name}:OK`;
    } catch {
        return `${name}:REJECT`;
    }
}

readline.createInterface({ input: process.stdin }).on('line', (query) => {
    console.log(judges.map(([name, parse]) => verdict(name, parse, query)).join(' '));
});
