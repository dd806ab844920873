// Reads ECS documents, one a line, and prints for each what Elastic's published schema (the field tables in npm's @elastic/ecs)
// says against it, release by release: `OK`, or the complaints with semicolons between. The one argument is the first name of
// the prefix below which anything may stand. With `roots` instead it prints the names at the top of the newest release.
'use strict';
const net = require('node:net');
const readline = require('node:readline');

const schemas = ['8', '9'].map((release) => [release, require(`ecs-${release}`).EcsFlat]);

const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
const fits = {
    keyword: (value) => typeof value === 'string',
    constant_keyword: (value) => typeof value === 'string',
    wildcard: (value) => typeof value === 'string',
    match_only_text: (value) => typeof value === 'string',
    text: (value) => typeof value === 'string',
    date: (value) => typeof value === 'string' && DATE.test(value) && !Number.isNaN(Date.parse(value)),
    ip: (value) => typeof value === 'string' && net.isIP(value) !== 0,
    long: (value) => Number.isInteger(value),
    float: (value) => typeof value === 'number',
    boolean: (value) => typeof value === 'boolean',
    // Of the schema's objects only flat ones of keywords are taken.
    object: (value) => Object.values(value).every((inner) => typeof inner === 'string'),
};

function leaves(value, path, schema, found) {
    const known = schema[path];
    const isObject = value !== null && typeof value === 'object' && !Array.isArray(value);
    if (isObject && !(known && known.type === 'object')) {
        if (Object.keys(value).length === 0) found.push([path, value]);
        for (const [name, inner] of Object.entries(value)) leaves(inner, path ? `${path}.${name}` : name, schema, found);
    } else {
        found.push([path, value]);
    }
}

function complaintsAbout(path, value, schema) {
    const field = schema[path];
    if (!field) return [`${path} is no field`];
    const wantsArray = field.normalize.includes('array');
    if (wantsArray !== Array.isArray(value)) return [`${path} must${wantsArray ? '' : ' not'} be an array`];
    const values = wantsArray ? value : [value];
    const complaints = values.length === 0 ? [`${path} is empty`] : [];
    const allowed = field.allowed_values && field.allowed_values.map((known) => known.name);
    for (const one of values) {
        if (one === null || one === '' || !(fits[field.type] || (() => false))(one)) complaints.push(`${path} is no ${field.type}`);
        else if (allowed && !allowed.includes(one)) complaints.push(`${path} must not be ${one}`);
        else if (field.ignore_above && field.ignore_above < one.length) complaints.push(`${path} is too long`);
    }
    if (new Set(values).size !== values.length) complaints.push(`${path} says something twice`);
    return complaints;
}

function pairs(event, schema) {
    const categories = schema['event.category'].allowed_values.filter(({ name }) => event.category.includes(name));
    const allowed = categories.flatMap((category) => category.expected_event_types || []);
    return event.type.filter((type) => !allowed.includes(type)).map((type) => `event.type ${type} does not go with its category`);
}

function judge(document, prefix) {
    return schemas.flatMap(([release, schema]) => {
        const { [prefix]: ours, ...rest } = document;
        const found = [];
        leaves(rest, '', schema, found);
        const complaints = found.flatMap(([path, value]) => complaintsAbout(path, value, schema));
        const present = new Set(found.map(([path]) => path));
        const required = Object.keys(schema).filter((path) => schema[path].required);
        complaints.push(...required.filter((path) => !present.has(path)).map((path) => `${path} is missing`));
        if (!ours || typeof ours !== 'object') complaints.push(`nothing stands below ${prefix}`);
        if (schema[prefix] || Object.keys(schema).some((path) => path.startsWith(`${prefix}.`))) complaints.push(`${prefix} is taken`);
        if (complaints.length === 0) complaints.push(...pairs(document.event, schema));
        return complaints.map((complaint) => `${release}: ${complaint}`);
    });
}

const [prefix] = process.argv.slice(2);
if (prefix === 'roots') {
    const roots = new Set(Object.keys(schemas[schemas.length - 1][1]).map((path) => path.split('.')[0]));
    console.log([...roots].sort().join(' '));
} else {
    readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on('line', (line) => {
        let complaints;
        try {
            complaints = judge(JSON.parse(line), prefix);
        } catch (error) {
            complaints = [String(error)];
        }
        console.log(complaints.length === 0 ? 'OK' : complaints.join('; ').replace(/[\r\n]/g, ' '));
    });
}
