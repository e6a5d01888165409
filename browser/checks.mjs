// The checks. Each looks at a page and returns what is wrong with it; broken says how a page is broken so that the check
// must find something.
import { createHash } from 'node:crypto';

const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
const escaped = (text) => text.replaceAll("'", '&#39;').replaceAll('+', '&#43;');

// inside changes what a style or script element has, and lets the policy agree.
function inside(tag, change) {
  return (html) => {
    const [, old] = html.match(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`));
    const changed = change(old);
    return html.replace(old, () => changed).replace(escaped(hash(old)), () => escaped(hash(changed)));
  };
}
const script = (change) => inside('script', change);
const style = (change) => inside('style', change);
const noPolicy = (html) => html.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, '');
const body = (what) => (html) => html.replace('<main>', () => `<main>${what}`);
const all = (...changes) => (html) => changes.reduce((text, change) => change(text), html);

// each opens the page once for every reader, and joins what is wrong.
const each = (readers, look) => async (open, name) => {
  const problems = [];
  for (const reader of readers) {
    const shown = await open(reader);
    const label = Object.entries(reader).map(([k, v]) => `${k} ${v}`).join(', ');
    problems.push(...(await look(shown, reader, name)).map((p) => (label ? `${label}: ${p}` : p)));
    await shown.close();
  }
  return problems;
};

const unfold = (page) => page.evaluate(() => document.querySelectorAll('details').forEach((d) => { d.open = true; }));

// use does what a reader does, so that all that the script can do has been done.
async function use(page) {
  await unfold(page);
  for (const head of await page.locator('#rows thead button').all()) {
    await head.click();
  }
  if (await page.locator('#filter').count()) {
    await page.fill('#filter', 'a');
  }
  await page.click('#theme');
  await page.waitForTimeout(50);
}

const luminance = (color) => {
  const [r, g, b] = color.match(/[\d.]+/g).map(Number).map((v) => v / 255);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const colors = (page) => page.evaluate(() => {
  const s = getComputedStyle(document.body);
  return { back: s.backgroundColor, ink: s.color };
});

const column = (page, i) => page.evaluate((n) => [...document.querySelectorAll('#rows tbody tr:not([hidden])')]
  .map((r) => r.cells[n].textContent.trim()), i);
const number = (text) => Number(text.replaceAll(',', ''));
const sorted = (values, sign) => values.every((v, i) => i === 0 || sign * (values[i - 1] - v) <= 0);

// reach presses Tab until something has the focus.
async function reach(page, selector) {
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate((s) => document.activeElement.matches(s), selector)) {
      return true;
    }
  }
  return false;
}

const full = ['incident', 'hostile', 'shop', 'hosts'];
const everything = [...full, 'quiet', 'unobserved', 'empty', 'busy']; // a check without a list: all but busy and hosts
const themes = [{ scheme: 'light' }, { scheme: 'dark' }];

export const checks = [
  {
    name: 'nothing on the console',
    pages: everything,
    look: each([{}, { script: false }], async ({ page, seen }, reader) => {
      if (reader.script !== false) {
        await use(page);
      }
      return seen.console;
    }),
    broken: {
      'a message of an error': { change: script((s) => `${s}\nconsole.error('broken');`) },
      'a script that fails': { change: script((s) => `${s}\nundefined.broken;`) },
      'a script that does not parse': { change: script((s) => `${s}\n(`) },
      'a sort that fails': { change: script((s) => s.replace('rows.map((r)', 'rows.mop((r)')) },
    },
  },
  {
    name: 'no request',
    look: each([{}, { script: false }, { media: 'print' }], async ({ page, seen }, reader) => {
      if (reader.script !== false && !reader.media) {
        await use(page);
      }
      await page.waitForTimeout(100);
      return seen.requests;
    }),
    broken: {
      'an image of somebody else': { change: all(noPolicy, body('<img src="https://example.org/x.png" alt="">')) },
      'a style of somebody else': {
        change: all(noPolicy, (html) => html.replace('</head>', '<link rel="stylesheet" href="https://example.org/x.css"></head>')),
      },
      'a font': {
        change: all(noPolicy, style((s) => `${s}
          @font-face { font-family: x; src: url(https://example.org/x.woff2); }
          body { font-family: x; }`)),
      },
      'a script that calls home': { change: all(noPolicy, script((s) => `${s}\nfetch('https://example.org/').catch(() => {});`)) },
      'an image in the script': { change: all(noPolicy, script((s) => `${s}\nnew Image().src = 'https://example.org/x.png';`)) },
    },
  },
  {
    name: 'nothing against the policy',
    look: each([{}], async ({ page, seen }) => {
      await use(page);
      return [...seen.violations, ...seen.console.filter((m) => m.includes('Content Security Policy'))];
    }),
    broken: {
      'a style in a tag': { change: body('<p style="color:red">x</p>') },
      'a handler in a tag': { change: body('<p onclick="alert(1)">x</p><script>0</script>') },
      'an image': { change: body('<img src="https://example.org/x.png" alt="">') },
      'another script': { change: body('<script>document.title = 1</script>') },
      'a style that is not the one that the policy names': { change: (html) => html.replace('<style>', '<style>p { color: red; }') },
    },
  },
  {
    name: 'the policy stops what is put into the page',
    pages: ['incident', 'hostile', 'empty'],
    look: each([{}], async ({ page, seen }) => {
      await page.evaluate(() => {
        const put = (tag, set) => document.body.append(Object.assign(document.createElement(tag), set));
        put('img', { src: 'https://example.org/x.png' });
        put('script', { textContent: 'window.owned = true' });
        put('script', { src: 'https://example.org/x.js' });
        put('style', { textContent: 'body { color: red }' });
        put('iframe', { src: 'https://example.org/' });
        put('object', { data: 'https://example.org/' });
        put('base', { href: 'https://example.org/' });
        const form = document.createElement('form');
        form.action = 'https://example.org/';
        document.body.append(form);
        form.submit();
        document.body.setAttribute('onclick', 'window.owned = true');
        document.body.click();
        return fetch('https://example.org/').catch(() => {});
      });
      const refused = ['img-src', 'script-src-elem', 'script-src-attr', 'style-src-elem', 'frame-src', 'object-src', 'base-uri',
        'form-action', 'connect-src'];
      const missing = () => refused.filter((directive) => !seen.violations.some((v) => v.startsWith(directive)));
      for (let i = 0; i < 30 && missing().length > 0; i++) {
        await page.waitForTimeout(100); // they are told a moment later
      }
      const problems = seen.sent.map((r) => `requested ${r}`).concat(missing().map((directive) => `${directive} is not refused`));
      if (await page.evaluate(() => window.owned)) {
        problems.push('a script ran');
      }
      if (await page.evaluate(() => document.querySelector('meta[name=referrer]')?.content) !== 'no-referrer') {
        problems.push('a referrer is sent');
      }
      return problems;
    }),
    broken: {
      'no policy': { change: noPolicy },
      'a policy for images': { change: (html) => html.replace('default-src &#39;none&#39;', 'default-src &#39;none&#39;; img-src *') },
      'a policy for scripts': { change: (html) => html.replace('; script-src', '; script-src-elem &#39;unsafe-inline&#39;; script-src') },
      'a policy without forms': { change: (html) => html.replace('; form-action &#39;none&#39;', '') },
      'a referrer': { change: (html) => html.replace('content="no-referrer"', 'content="unsafe-url"') },
    },
  },
  {
    name: 'hostile names are text',
    pages: ['hostile'],
    look: each([{}, { script: false }, { width: 360, scheme: 'dark' }], async ({ page, seen }, reader) => {
      await unfold(page);
      await page.mouse.move(200, 300);
      if (reader.script !== false) {
        await use(page);
        await page.fill('#filter', '');
      }
      const problems = [...seen.dialogs.map((d) => `a dialog: ${d}`), ...seen.console];
      problems.push(...await page.evaluate(() => {
        const found = [];
        const foreign = 'img, main h1, main script, main style, iframe, object, [onload], [onerror], [onmouseover], [src]';
        document.querySelectorAll(foreign).forEach((e) => found.push(`an element of a name: ${e.outerHTML.slice(0, 60)}`));
        if (document.querySelectorAll('style').length !== 1 || document.querySelectorAll('script').length !== 1) {
          found.push('another style or script');
        }
        const names = [...document.querySelectorAll('#rows tbody th')].map((e) => e.textContent);
        for (const name of ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', '</style><h1>own', 'שלום עולם ובתי קפה',
          '{{.Style}}', '\\u202egnp.exe\\u2066', '&lt;b&gt;', "' onmouseover='alert(1)", 'a\\nb\\r\\tc\\x1b[31m']) {
          if (!names.includes(name)) {
            found.push(`${name} is not shown as it is`);
          }
        }
        if (/[\u202a-\u202e\u2066-\u2069\u200e\u200f]/.test(document.body.textContent)) {
          found.push('letters that turn others around');
        }
        for (const cell of document.querySelectorAll('#rows tbody th, #rows tbody td:nth-child(3)')) {
          if (cell.scrollWidth > cell.clientWidth + 1 || cell.clientWidth > 400) {
            found.push(`a name leaves its cell: ${cell.textContent.slice(0, 40)}`);
          }
        }
        return found;
      }));
      return problems;
    }),
    broken: {
      'an image that is not escaped': {
        of: 'hostile',
        change: all(noPolicy, (html) => html.replaceAll('&lt;img src=x onerror=alert(1)&gt;', '<img src=x onerror=alert(1)>')),
      },
      'a script that is not escaped': {
        of: 'hostile',
        change: all(noPolicy, (html) => html.replaceAll('&lt;script&gt;alert(1)&lt;/script&gt;', '<script>alert(1)</script>')),
      },
      'a heading that is not escaped, which the policy lets be': { of: 'hostile', change: (html) => html.replaceAll('&lt;h1&gt;own', '<h1>own') },
      'a name that is escaped twice': {
        of: 'hostile', change: (html) => html.replaceAll('&lt;script&gt;alert(1)', '&amp;lt;script&amp;gt;alert(1)'),
      },
      'a letter that turns others around': { of: 'hostile', change: (html) => html.replaceAll('\\u202egnp', '\u202egnp') },
      'names that do not wrap': {
        of: 'hostile', change: style((s) => s.replaceAll('overflow-wrap: anywhere', 'white-space: nowrap')),
      },
    },
  },
  {
    name: 'light and dark',
    look: each(themes, async ({ page }, { scheme }) => {
      const problems = [];
      const is = async (dark, when) => {
        const { back, ink } = await colors(page);
        const wrong = dark ? luminance(back) > 0.15 || luminance(ink) < 0.7 : luminance(back) < 0.85 || luminance(ink) > 0.2;
        if (wrong) {
          problems.push(`${when}: ${ink} on ${back}`);
        }
      };
      const dark = scheme === 'dark';
      await is(dark, 'as the system wants it');
      await page.focus('#theme');
      await page.keyboard.press('Enter');
      await is(!dark, 'after the button');
      await page.keyboard.press('Space');
      await is(dark, 'after the button again');
      return problems;
    }),
    broken: {
      'no dark theme': { change: style((s) => s.replace('color-scheme: light dark;', 'color-scheme: light;')) },
      'no light theme': { change: style((s) => s.replace('color-scheme: light dark;', 'color-scheme: dark;')) },
      'dark ink in the dark theme': { change: style((s) => s.replace('--ink: light-dark(#1b2026, #e4e8ec)', '--ink: #1b2026')) },
      'a button that does nothing': { change: script((s) => s.replace("button.addEventListener('click'", "button.addEventListener('clack'")) },
    },
  },
  {
    name: 'without script',
    look: each([{ script: false }, { script: false, width: 360, scheme: 'dark' }], async ({ page }, _, name) => {
      const problems = [];
      const visible = async (selector) => page.locator(selector).first().isVisible();
      for (const control of ['#theme', '#filter', '#rows thead button']) {
        if (await page.locator(control).count() && await visible(control)) {
          problems.push(`${control} is shown and does nothing`);
        }
      }
      const parts = ['h1', '.answer', '#findings', '#quality', 'footer'];
      if (full.includes(name)) {
        parts.push('#time svg.chart', '#rows tbody tr', '#budgets', '#host');
      }
      for (const part of parts) {
        if (!await page.locator(part).count() || !await visible(part)) {
          problems.push(`${part} is not to be seen`);
        }
      }
      const link = page.locator('#findings .foot a[href^="#"]').first();
      if (await link.count()) {
        const to = await link.getAttribute('href');
        await link.click();
        if (!await page.locator(to).isVisible()) {
          problems.push(`the link to ${to} does not show it`);
        }
      }
      const hidden = await page.evaluate(() => document.querySelectorAll('#rows tbody tr[hidden]').length);
      return hidden ? [...problems, `${hidden} rows are hidden`] : problems;
    }),
    broken: {
      'a button that is always there': { change: (html) => html.replace('type="button" hidden', 'type="button"') },
      'a filter that is always there': { change: (html) => html.replace('id="tools" hidden', 'id="tools"') },
      'charts that the script has to show': { change: style((s) => `${s}\n.chart { visibility: hidden; }`) },
      'a table that the script has to show': { change: (html) => html.replace('<table id="rows">', '<table id="rows" hidden>') },
      'links to nowhere': { change: (html) => html.replaceAll(/<div id="d\d+"/g, '<div') },
    },
  },
  {
    name: 'narrow: the page does not scroll sideways',
    look: each([
      { width: 360 }, { width: 360, script: false }, { width: 360, scheme: 'dark', zone: 'Asia/Kathmandu' }, { width: 768 }, { width: 320 },
    ], async ({ page }) => {
      await unfold(page);
      return page.evaluate(() => {
        const problems = [];
        const wide = document.documentElement.scrollWidth;
        if (wide > innerWidth) {
          problems.push(`the page is ${wide} wide`);
        }
        const leaving = (e) => {
          const box = e.getBoundingClientRect();
          return box.width > 1 && (box.right > innerWidth + 1 || box.left < -1) && !e.closest('.scroll, .defs, .skip');
        };
        [...document.body.querySelectorAll('*')].filter(leaving).slice(0, 3)
          .forEach((e) => problems.push(`cut: ${e.outerHTML.slice(0, 60)}`));
        document.querySelectorAll('.scroll').forEach((e) => {
          if (e.tabIndex !== 0 || !e.getAttribute('role')) {
            problems.push('a table that scrolls cannot be reached by keyboard');
          }
        });
        for (const text of document.querySelectorAll('svg.chart text')) {
          if (text.getBoundingClientRect().height < 8) {
            problems.push(`too small to read: ${text.textContent}`);
            break;
          }
        }
        return problems;
      });
    }),
    broken: {
      'something wide': { change: body('<pre>'.padEnd(400, 'W') + '</pre>') },
      'something wide that is cut off': {
        change: all(body('<pre>'.padEnd(400, 'W') + '</pre>'), style((s) => `${s}\nbody { overflow-x: hidden; }`)),
      },
      'tables without a place to scroll in': { change: style((s) => s.replace('overflow-x: auto', 'overflow-x: visible')) },
      'a place to scroll in that has no focus': { change: (html) => html.replaceAll(' tabindex="0"', '') },
      'words that do not break': { of: 'hostile', change: style((s) => s.replaceAll('overflow-wrap: anywhere', 'overflow-wrap: normal')) },
      'charts of a fixed width': { change: style((s) => s.replace('width: 100%; height: auto;', 'width: 700px;')) },
    },
  },
  {
    name: 'print',
    look: each([{ media: 'print', width: 703 }, { media: 'print', width: 703, scheme: 'dark', script: false }], async ({ page }, reader) => {
      const problems = await page.evaluate(() => {
        const found = [];
        const seen = (e) => e.getClientRects().length > 0 && e.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true });
        document.querySelectorAll('button, input, nav, .skip').forEach((e) => {
          if (seen(e) && e.textContent !== e.closest('th')?.textContent) {
            found.push(`printed: ${e.outerHTML.slice(0, 60)}`);
          }
        });
        const folded = [...document.querySelectorAll('details:not(.data) > :not(summary)')].filter((e) => !seen(e));
        if (folded.length) {
          found.push(`${folded.length} folded parts are not printed`);
        }
        document.querySelectorAll('table').forEach((t) => {
          if (seen(t) && t.getBoundingClientRect().right > innerWidth + 1) {
            found.push(`a table is cut: ${t.id}`);
          }
        });
        const scroll = document.querySelector('.scroll');
        if (scroll && getComputedStyle(scroll).overflowX !== 'visible') {
          found.push('a table scrolls on paper');
        }
        const row = document.querySelector('tbody tr');
        if (row && getComputedStyle(row).breakInside !== 'avoid') {
          found.push('rows can be cut');
        }
        return found;
      });
      const { back, ink } = await colors(page);
      if (luminance(back) < 0.99 || luminance(ink) > 0.2) {
        problems.push(`${ink} on ${back}`);
      }
      const pdf = await page.pdf({ format: 'A4' });
      const pages = (pdf.toString('latin1').match(/\/Type\s*\/Page\b/g) ?? []).length;
      const parts = await page.locator('details.one').count();
      if (pages < 1 + parts / 4) {
        problems.push(`only ${pages} pages`);
      }
      if (reader.script !== false && await page.evaluate(() => document.querySelectorAll('details[open]').length)) {
        problems.push('what was unfolded for printing stays unfolded');
      }
      return problems;
    }),
    broken: {
      'parts that stay folded': { change: style((s) => s.replace('details::details-content', 'details::none')) },
      'buttons on paper': { change: style((s) => s.replace('nav, .skip, #theme,', '.skip,')) },
      'dark paper': { change: style((s) => s.replace(':root, :root[data-theme] { color-scheme: light; --page: #fff; }', '')) },
      'tables that are cut': { change: style((s) => s.replace('.scroll { overflow: visible; border: 0; }', '')) },
      'a table wider than paper': { change: style((s) => `${s}\n#budgets { min-width: 900px; }`) },
      'rows that are cut': { change: style((s) => s.replace('break-inside: avoid', 'break-inside: auto')) },
    },
  },
  {
    name: 'the table sorts by keyboard',
    pages: ['incident', 'shop', 'busy', 'unobserved'],
    look: each([{}], async ({ page }) => {
      const problems = [];
      const before = await column(page, 0);
      const press = async (title, key) => {
        await page.locator('#rows thead button', { hasText: title }).focus();
        await page.keyboard.press(key);
        return page.locator('#rows thead th', { hasText: title }).getAttribute('aria-sort');
      };
      if (!await reach(page, '#rows thead button')) {
        return ['no button in the head of the table has the focus'];
      }
      for (const [title, i] of [['Opened', 5], ['New/s', 4], ['Failed', 7]]) {
        if (await press(title, 'Enter') !== 'descending' || !sorted((await column(page, i)).map(number), -1)) {
          problems.push(`${title}: not descending`);
        }
        if (await press(title, 'Space') !== 'ascending' || !sorted((await column(page, i)).map(number), 1)) {
          problems.push(`${title}: not ascending`);
        }
      }
      await press('Service', 'Enter');
      const names = (await column(page, 1)).map((s) => s.toLowerCase());
      if (names.some((n, i) => i > 0 && names[i - 1] > n)) {
        problems.push('Service: not in order');
      }
      for (const order of ['descending', 'ascending']) {
        await press('Lifetime', 'Enter');
        const lives = await column(page, 10);
        if (lives.includes('-') && lives.indexOf('-') < lives.findLastIndex((l) => l !== '-')) {
          problems.push(`${order}: what was not measured is not last`);
        }
      }
      if (await page.locator('#rows [aria-sort]').count() !== 1) {
        problems.push('more than one column says that it orders the rows');
      }
      await press('#', 'Enter');
      if ((await column(page, 0)).join() !== before.join()) {
        problems.push('the order by harm does not come back');
      }
      return problems;
    }),
    broken: {
      'no script': { change: (html) => html.replace(/<script>[\s\S]*<\/script>/, '') },
      'numbers that are sorted as words': { of: 'shop', change: script((s) => s.replace("const number = head.classList.contains('n')", 'const number = false')) },
      'nothing that says by what is sorted': { change: script((s) => s.replace("head.setAttribute('aria-sort', order)", '0')) },
      'a sort that does not move rows': { change: script((s) => s.replace('body.append(row)', '0')) },
      'missing figures first': { of: 'shop', change: script((s) => s.replace('missing(a) - missing(b)', 'missing(b) - missing(a)')) },
    },
  },
  {
    name: 'the table is filtered by keyboard',
    pages: ['incident', 'shop'],
    look: each([{}, { width: 360 }], async ({ page }) => {
      const problems = [];
      const total = (await column(page, 0)).length;
      if (!await reach(page, '#filter')) {
        return ['the filter cannot be reached'];
      }
      const type = async (words, want) => {
        await page.keyboard.press('Control+A');
        await page.keyboard.press('Backspace');
        await page.keyboard.type(words);
        const rows = await page.evaluate(() => [...document.querySelectorAll('#rows tbody tr:not([hidden])')]
          .map((r) => r.textContent.toLowerCase()));
        const said = await page.locator('#shown').textContent();
        if (said !== `${rows.length} of ${total}` || !want(rows)) {
          problems.push(`"${words}": ${rows.length} rows, it says ${said}`);
        }
      };
      const first = (await column(page, 1))[0].toLowerCase();
      await type(first.toUpperCase(), (rows) => rows.length > 0 && rows.length < total && rows.every((r) => r.includes(first)));
      await type(`${first} ${(await column(page, 2))[0]}`, (rows) => rows.length > 0 && rows.every((r) => r.includes(first)));
      await type('no such thing', (rows) => rows.length === 0);
      await type('', (rows) => rows.length === total);
      return problems;
    }),
    broken: {
      'no script': { change: (html) => html.replace(/<script>[\s\S]*<\/script>/, '') },
      'a filter that does nothing': { change: script((s) => s.replace("filter.addEventListener('input'", "filter.addEventListener('change'")) },
      'a count that is wrong': { change: script((s) => s.replace('${n} of', '${n + 1} of')) },
      'capitals that matter': { change: script((s) => s.replace('filter.value.toLowerCase()', 'filter.value')) },
    },
  },
  {
    name: "times in the reader's zone",
    pages: ['incident', 'shop', 'quiet', 'unobserved', 'hosts'],
    look: async (open, name) => {
      const problems = [];
      const read = async (reader) => {
        const { page, close } = await open(reader);
        const got = await page.evaluate(() => ({
          times: [...document.querySelectorAll('time')].map((t) => [t.dateTime, t.textContent]),
          ticks: [...document.querySelectorAll('svg.chart [data-t]')].map((t) => [Number(t.dataset.t), t.textContent]),
          zones: [...document.querySelectorAll('.zone')].map((t) => t.textContent),
        }));
        await close();
        return got;
      };
      const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);
      const ticksWrong = (got, by) => got.ticks.filter(([at, text]) => text !== clock(at + by).slice(0, text.length))
        .map(([at, text]) => `a tick of ${at} is ${text}`);
      const plain = await read({ script: false });
      const utc = await read({ zone: 'UTC' });
      const nepal = await read({ zone: 'Asia/Kathmandu' });
      if (plain.times.length < (name === 'empty' ? 0 : 2)) {
        problems.push('there are no times');
      }
      for (const got of [plain, utc]) {
        problems.push(...got.times.filter(([at, text]) => text !== `${at.slice(0, 10)} ${at.slice(11, 19)} UTC`).map(([at, text]) => `${at} is ${text}`));
        problems.push(...ticksWrong(got, 0), ...got.zones.filter((z) => z !== 'UTC').map((z) => `the axis says ${z}`));
      }
      const shift = 5.75 * 3600;
      nepal.times.forEach(([at, text], i) => {
        const local = new Date(Date.parse(at) + shift * 1000).toISOString();
        if (text !== `${local.slice(0, 10)} ${local.slice(11, 19)} GMT+5:45 (${plain.times[i][1]})`) {
          problems.push(`in Nepal ${at} is ${text}`);
        }
      });
      problems.push(...ticksWrong(nepal, shift), ...nepal.zones.filter((z) => z !== 'GMT+5:45').map((z) => `in Nepal the axis says ${z}`));
      return problems;
    },
    broken: {
      'no script': { change: (html) => html.replace(/<script>[\s\S]*<\/script>/, '') },
      'no UTC beside': { change: script((s) => s.replace(' (${e.textContent})', '')) },
      'ticks that stay in UTC': { change: script((s) => s.replace("all('[data-t]', chart)", '[]')) },
      'a time that is wrong': { change: (html) => html.replace(/(<time datetime="[^"]*">)2023/, '$12024') },
    },
  },
  {
    name: 'by keyboard',
    pages: ['incident', 'hostile', 'empty'],
    look: each(themes, async ({ page }) => {
      const problems = [];
      await page.keyboard.press('Tab');
      const skip = await page.evaluate(() => {
        const box = document.activeElement.getBoundingClientRect();
        return { to: document.activeElement.getAttribute('href'), seen: box.top >= 0 && box.left >= 0 };
      });
      if (skip.to !== '#findings' || !skip.seen) {
        problems.push('the first stop is no link to the findings that can be seen');
      }
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(() => {
          const e = document.activeElement;
          if (e === document.body) return null;
          const s = getComputedStyle(e);
          return { what: e.outerHTML.slice(0, 60), ring: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 };
        });
        if (at && !at.ring) {
          problems.push(`no ring around ${at.what}`);
          break;
        }
      }
      return problems;
    }),
    broken: {
      'no way past the head': { change: (html) => html.replace(/<a class="skip".*<\/a>/, '') },
      'no ring': { change: style((s) => `${s}\n*:focus-visible { outline: none !important; }`) },
    },
  },
  {
    name: 'nothing moves',
    look: each([{}], async ({ page }) => {
      await page.click('#theme');
      return page.evaluate(() => {
        const moving = [...document.querySelectorAll('*')].find((e) => {
          const s = getComputedStyle(e);
          return s.transitionDuration !== '0s' || s.animationName !== 'none' || s.scrollBehavior === 'smooth';
        });
        return moving ? [moving.outerHTML.slice(0, 60)] : [];
      });
    }),
    broken: {
      'a transition': { change: style((s) => `${s}\nbutton { transition: color .2s; }`) },
      'scrolling that takes its time': { change: style((s) => `${s}\nhtml { scroll-behavior: smooth; }`) },
    },
  },
  {
    name: 'nothing is drawn over something else',
    pages: ['incident', 'shop', 'unobserved', 'hosts'],
    look: each([{}, { width: 360, zone: 'Asia/Kathmandu' }, { width: 768 }], async ({ page }) => {
      await unfold(page);
      return page.evaluate(() => {
        const problems = [];
        for (const chart of document.querySelectorAll('svg.chart')) {
          const texts = [...chart.querySelectorAll('text')].map((t) => ({ t, box: t.getBoundingClientRect() }));
          const frame = chart.closest('figure').getBoundingClientRect();
          for (const [i, a] of texts.entries()) {
            if (a.box.left < frame.left - 1 || a.box.right > frame.right + 1) {
              problems.push(`${a.t.textContent} leaves its drawing`);
            }
            for (const b of texts.slice(i + 1)) {
              const x = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
              const y = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
              if (x > 1 && y > 4) {
                problems.push(`${a.t.textContent} and ${b.t.textContent} overlap`);
              }
            }
          }
        }
        return problems;
      });
    }),
    broken: {
      'labels over each other': { change: style((s) => `${s}\n.chart text { font-size: 30px; }`) },
      'a label beyond the drawing': { change: (html) => html.replace('<text class="y" x="41"', '<text class="y" x="-20"') },
    },
  },
  {
    name: 'axe finds nothing',
    pages: everything.filter((name) => name !== 'quiet'),
    look: async (open, name) => {
      const readers = [{}, { scheme: 'dark' }, { width: 360 }, { stripped: true }];
      return each(name === 'busy' ? [{}] : readers, async ({ page, axe }) => {
        if (name !== 'busy') {
          await unfold(page);
        }
        const { violations } = await axe();
        return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes[0].html.slice(0, 90)}`);
      })(open, name);
    },
    broken: {
      'ink that is too pale': { change: style((s) => s.replace('--soft: light-dark(#55606c,', '--soft: light-dark(#9aa3ad,')) },
      'ink that is too pale in the dark': {
        change: style((s) => s.replace('--link: light-dark(#0b57a4, #8fc0f5)', '--link: light-dark(#0b57a4, #33557a)')),
      },
      'a chart without words': { change: (html) => html.replace(/ aria-label="New connections[^"]*"/, '') },
      'a filter without a label': {
        change: (html) => html.replace('<label for="filter">Filter</label>', '').replace(' placeholder="service, address, verdict"', ''),
      },
      'headings that skip a level': { change: (html) => html.replace('<h2>Findings</h2>', '<h4>Findings</h4>') },
      'no language': { change: (html) => html.replace(' lang="en"', '') },
      'no title': { change: (html) => html.replace(/<title>.*<\/title>/, '') },
      'a button without a name': { change: script((s) => s.replace("dark() ? 'Light' : 'Dark'", "''")) },
      'a list that is none': { change: (html) => html.replace('<ol class="findings">', '<ol class="findings"><p>x</p>') },
      'no main part': { change: (html) => html.replace('<main>', '<div>').replace('</main>', '</div>') },
      'two tables with one name': { change: (html) => html.replace('aria-labelledby="h-ports"', 'aria-labelledby="h-destinations"') },
    },
  },
];
