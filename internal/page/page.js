'use strict';
(() => {
	const all = (query, within = document) => [...within.querySelectorAll(query)];
	const one = (id) => document.getElementById(id);
	const root = document.documentElement;
	const two = (n) => String(n).padStart(2, '0');

	// The theme: that of the system until the button is used.
	const button = one('theme');
	const dark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches);
	const name = () => { button.textContent = dark() ? 'Light' : 'Dark'; };
	button.addEventListener('click', () => { root.dataset.theme = dark() ? 'light' : 'dark'; name(); });
	button.hidden = false;
	name();

	// Times in the reader's zone, with UTC beside.
	const clock = (d) => two(d.getHours()) + ':' + two(d.getMinutes()) + ':' + two(d.getSeconds());
	const zone = (d) => new Intl.DateTimeFormat('en', { timeZoneName: 'short' }).formatToParts(d).find((p) => p.type === 'timeZoneName').value;
	for (const e of all('time')) {
		const d = new Date(e.dateTime);
		if (d.getTimezoneOffset() === 0) continue;
		e.textContent = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(d)} ${zone(d)} (${e.textContent})`;
	}
	for (const chart of all('svg.chart')) {
		const ticks = all('[data-t]', chart);
		const moved = ticks.filter((t) => new Date(t.dataset.t * 1000).getTimezoneOffset() !== 0);
		for (const t of moved) t.textContent = clock(new Date(t.dataset.t * 1000)).slice(0, t.textContent.length);
		if (moved.length) for (const z of all('.zone', chart)) z.textContent = zone(new Date(moved[0].dataset.t * 1000));
	}

	// What is folded is printed all the same.
	let folded = [];
	addEventListener('beforeprint', () => { folded = all('details:not([open])'); folded.forEach((d) => { d.open = true; }); });
	addEventListener('afterprint', () => { folded.forEach((d) => { d.open = false; }); });
	const unfold = () => { one(location.hash.slice(1))?.closest('details')?.setAttribute('open', ''); };
	addEventListener('hashchange', unfold);
	unfold();

	// The table of destinations.
	const table = one('rows');
	if (!table) return;
	const body = table.tBodies[0];
	const rows = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));
	const heads = all('thead th', table);
	const value = (row, i, number) => {
		const cell = row.cells[i];
		const text = cell.dataset.v ?? cell.textContent.trim();
		return number ? parseFloat(text.replace(/,/g, '')) : text.toLowerCase();
	};
	const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
	heads.forEach((head, i) => {
		const number = head.classList.contains('n');
		const sort = document.createElement('button');
		sort.type = 'button';
		sort.append(...head.childNodes);
		head.append(sort);
		sort.addEventListener('click', () => {
			const first = number && i > 0 ? 'descending' : 'ascending';
			const other = first === 'ascending' ? 'descending' : 'ascending';
			const order = head.getAttribute('aria-sort') === first ? other : first;
			heads.forEach((h) => h.removeAttribute('aria-sort'));
			head.setAttribute('aria-sort', order);
			const sign = order === 'ascending' ? 1 : -1;
			const missing = (v) => Number(number && Number.isNaN(v)); // what was not measured comes last
			rows.map((r) => [value(r.row, i, number), r.row])
				.sort(([a], [b]) => missing(a) - missing(b) || (missing(a) ? 0 : sign * compare(a, b)))
				.forEach(([, row]) => body.append(row));
		});
	});
	const filter = one('filter');
	const show = () => {
		const words = filter.value.toLowerCase().split(/\s+/);
		let n = 0;
		for (const r of rows) {
			r.row.hidden = !words.every((w) => r.text.includes(w));
			n += r.row.hidden ? 0 : 1;
		}
		one('shown').textContent = `${n} of ${rows.length}`;
		one('tools').classList.toggle('chosen', n < rows.length);
	};
	filter.addEventListener('input', show);
	one('tools').hidden = false;
	show();
})();
