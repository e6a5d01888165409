// run.mjs PAGE WORK [--write]: see run. WORK has node_modules, and the folder here, in which everything is run.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const page = resolve(process.argv[2]);
const work = resolve(process.argv[3]);
const write = process.argv[4] === '--write';
const leastQueries = 7; // fewer, and the page or this program is broken

const { DuckDBInstance } = createRequire(`${work}/`)('@duckdb/node-api');
process.chdir(`${work}/here`);
const db = await (await DuckDBInstance.create(':memory:')).connect();
await db.run("SET TimeZone = 'UTC'");

// render lays rows out in columns: numbers to the right, all else to the left.
function render(names, numeric, rows) {
  const width = names.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i].length)));
  const line = (cells) => cells
    .map((cell, i) => (numeric[i] ? cell.padStart(width[i]) : cell.padEnd(width[i]))).join('  ').trimEnd();
  return [line(names), line(width.map((n) => '-'.repeat(n))), ...rows.map(line)].join('\n');
}

// query runs the statements of a block, and returns what the last one gives, null when it gives nothing to look at.
async function query(sql) {
  const statements = sql.split(/;\s*$/m).map((s) => s.trim()).filter((s) => s.replace(/^--.*$/gm, '').trim() !== '');
  let shown = null;
  for (const statement of statements) {
    shown = null;
    if (!/^(with|select|from)\b/i.test(statement.replace(/^--.*$/gm, '').trim())) {
      await db.run(statement);
      continue;
    }
    const types = await db.runAndReadAll(`DESCRIBE ${statement}`);
    const numeric = types.getRowsJson().map((row) => /INT|DOUBLE|DECIMAL|FLOAT/.test(row[1]));
    const result = await db.runAndReadAll(`SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (${statement})`);
    shown = render(result.columnNames(), numeric, result.getRowsJson().map((row) => row.map((cell) => cell ?? 'NULL')));
  }
  return shown;
}

const fence = /^```(sh|sql|text)\n([\s\S]*?)^```\n/gm;
const text = readFileSync(page, 'utf8');
const blocks = [...text.matchAll(fence)].map((m) => ({ kind: m[1], body: m[2], at: m.index, end: m.index + m[0].length }));
const lineOf = (block) => text.slice(0, block.at).split('\n').length;

let queries = 0;
let wrong = 0;
let rewritten = '';
let done = 0;
for (let i = 0; i < blocks.length; i++) {
  const block = blocks[i];
  const where = `${process.argv[2]}:${lineOf(block)}`;
  if (block.kind === 'text') {
    continue;
  }
  let got = null;
  try {
    if (block.kind === 'sh') {
      execFileSync('bash', ['-euo', 'pipefail', '-c', block.body], { stdio: ['ignore', 'inherit', 'inherit'] });
    } else {
      queries++;
      got = await query(block.body);
    }
  } catch (error) {
    console.error(`${where}: ${error.message}`);
    wrong++;
    continue;
  }
  const shown = blocks[i + 1]?.kind === 'text' ? blocks[i + 1] : null;
  if ((got === null) !== (shown === null)) {
    console.error(`${where}: ${shown ? 'gives nothing, but something is shown behind it' : 'what it gives is not shown behind it'}`);
    wrong++;
  } else if (shown && got !== shown.body.trimEnd()) {
    if (!write) {
      console.error(`${where}: gives\n${got}\nbut the page shows\n${shown.body}`);
      wrong++;
    }
    rewritten += `${text.slice(done, shown.at)}\`\`\`text\n${got}\n\`\`\`\n`;
    done = shown.end;
  }
}
if (queries < leastQueries) {
  console.error(`${process.argv[2]}: only ${queries} queries found, there should be ${leastQueries} or more`);
  wrong++;
}
if (write && done > 0) {
  writeFileSync(page, rewritten + text.slice(done));
}
console.log(`${queries} queries, ${wrong} wrong`);
process.exit(wrong > 0 ? 1 : 0);
