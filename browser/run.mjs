// run.mjs WORK FILE.html...: see run. WORK has node_modules; broken pages are written there.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, resolve } from 'node:path';
import { checks } from './checks.mjs';

const [work, ...files] = process.argv.slice(2).map((path) => resolve(path));
const { chromium } = createRequire(`${work}/`)('playwright-core');
const axe = readFileSync(`${work}/node_modules/axe-core/axe.min.js`, 'utf8');

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--headless', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

// open shows a file to a reader: { scheme, width, height, script, media, zone }. seen is what went wrong on the way. A
// reader who is stripped gets the page without its script: in a browser that runs none, axe does not run either.
async function open(from, reader = {}) {
  let file = from;
  if (reader.stripped) {
    file = `${work}/stripped.html`;
    writeFileSync(file, readFileSync(from, 'utf8').replace(/<script>[\s\S]*<\/script>/, ''));
  }
  const context = await browser.newContext({
    viewport: { width: reader.width ?? 1280, height: reader.height ?? 900 }, colorScheme: reader.scheme ?? 'light',
    javaScriptEnabled: reader.script ?? true, timezoneId: reader.zone ?? 'UTC', locale: 'en-GB',
  });
  const page = await context.newPage();
  const seen = { console: [], requests: [], sent: [], violations: [], dialogs: [] };
  page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') seen.console.push(m.text()); });
  page.on('pageerror', (e) => seen.console.push(e.message));
  page.on('request', (r) => { if (r.url() !== `file://${file}`) seen.requests.push(r.url().slice(0, 100)); });
  page.on('dialog', (d) => { seen.dialogs.push(d.message()); d.dismiss(); });
  await page.exposeBinding('violated', (_, what) => { seen.violations.push(what); });
  await page.addInitScript(() => addEventListener('securitypolicyviolation',
    (e) => window.violated(`${e.violatedDirective}: ${e.blockedURI}`)));
  await page.route(/^(https?|wss?|ftp):/, (route) => { seen.sent.push(route.request().url()); return route.abort(); });
  if (reader.media) {
    await page.emulateMedia({ media: reader.media });
  }
  await page.goto(`file://${file}`);
  const audit = () => page.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'] })`);
  return { page, seen, close: () => context.close(), axe: audit };
}

let passed = 0;
let failed = 0;
function tell(ok, line) {
  console.log(`${ok ? 'ok    ' : 'FAILED'}  ${line}`);
  ok ? passed++ : failed++;
}

// problemsOf makes a check of one file. What it throws is a problem, too, and so is that it does not end.
async function problemsOf(check, file) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('it does not end')), 300_000); });
  try {
    return await Promise.race([check.look((reader) => open(file, reader), basename(file, '.html')), late]);
  } catch (error) {
    return [error.message.split('\n')[0]];
  } finally {
    clearTimeout(timer);
  }
}

const only = process.env.CHECK;
for (const check of checks.filter((c) => !only || c.name === only)) {
  const name = (file) => basename(file, '.html');
  const looked = files.filter((file) => (check.pages ? check.pages.includes(name(file)) : !['busy', 'hosts'].includes(name(file))));
  const began = Date.now();
  const problems = [];
  for (const file of looked) {
    problems.push(...(await problemsOf(check, file)).map((p) => `${name(file)}: ${p}`));
  }
  tell(looked.length > 0 && problems.length === 0, `${check.name}: ${looked.map(name).join(', ')} (${Date.now() - began} ms)`);
  problems.slice(0, 20).forEach((p) => console.log(`          ${p}`));
  for (const [what, { of = 'incident', change }] of Object.entries(check.broken)) {
    const file = files.find((f) => name(f) === of);
    if (!file) {
      continue; // only files that were named are looked at
    }
    const whole = readFileSync(file, 'utf8');
    const broken = change(whole);
    const path = `${work}/${of}.html`;
    writeFileSync(path, broken);
    const found = broken === whole ? [] : await problemsOf(check, path);
    tell(found.length > 0, `${check.name} notices: ${what}${broken === whole ? ' (the page could not be broken so)' : ''}`);
    if (process.env.VERBOSE) {
      found.slice(0, 3).forEach((p) => console.log(`          ${p}`));
    }
  }
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
