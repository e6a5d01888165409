package report

import "strings"

// table lays out rows of cells under titles, as wide as its contents.
type table struct {
	columns []column
	rows    [][]string
	left    []bool // by column: left out
	// emphasis gives the colour of a row's verdict cell; nil: none.
	emphasis func(row, col int) string
}

// column is one column of a table.
type column struct {
	title string
	right bool
	// good and least are how narrow the column may be made, by cutting out the middle of its cells: no column is made
	// narrower than good as long as another is wider than that. 0: it keeps its width.
	good, least int
	// spare columns are left out, the highest first, when the others would not fit. 0: never.
	spare int
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write appends the table to b, at most width wide when width is above 0 and the columns that shrink allow it.
func (t *table) write(b *strings.Builder, width int) {
	t.leaveOut(width)
	w := t.widths(width, true)
	titles := make([]string, len(t.columns))
	for i, c := range t.columns {
		titles[i] = c.title
	}
	t.line(b, -1, titles, w)
	for i, r := range t.rows {
		t.line(b, i, r, w)
	}
}

func (t *table) line(b *strings.Builder, row int, cells []string, widths []int) {
	var line strings.Builder
	for i, cell := range cells {
		if t.left[i] {
			continue
		}
		if line.Len() > 0 {
			line.WriteByte(' ')
		}
		text := pad(shorten(cell, widths[i]), widths[i], t.columns[i].right)
		if i == len(cells)-1 {
			text = strings.TrimRight(text, " ")
		}
		if row >= 0 && t.emphasis != nil {
			if c := t.emphasis(row, i); c != "" {
				text = c + text + plain
			}
		}
		line.WriteString(text)
	}
	b.WriteString(strings.TrimRight(line.String(), " "))
	b.WriteByte('\n')
}

// leaveOut drops spare columns until the others fit without being made narrower than is good.
func (t *table) leaveOut(width int) {
	t.left = make([]bool, len(t.columns))
	for width > 0 && t.total(t.widths(width, false)) > width {
		drop := -1
		for i, c := range t.columns {
			if c.spare > 0 && !t.left[i] && (drop < 0 || c.spare > t.columns[drop].spare) {
				drop = i
			}
		}
		if drop < 0 {
			return
		}
		t.left[drop] = true
	}
}

// total is how wide a line is, blanks between the columns included.
func (t *table) total(w []int) int {
	total := -1
	for i := range w {
		if !t.left[i] {
			total += 1 + w[i]
		}
	}
	return total
}

// widths are as wide as the cells, until that is too wide; then as is good, and in the end the least.
func (t *table) widths(width int, least bool) []int {
	w := make([]int, len(t.columns))
	for i, c := range t.columns {
		w[i] = cells(c.title)
		for _, r := range t.rows {
			w[i] = max(w[i], cells(r[i]))
		}
	}
	total := t.total(w)
	for width > 0 && total > width {
		give := t.widest(w, func(c *column) int { return c.good })
		if give < 0 && least {
			give = t.widest(w, func(c *column) int { return c.least })
		}
		if give < 0 {
			break
		}
		w[give]--
		total--
	}
	return w
}

// widest returns the column that has most to give, -1 when none is wider than its limit.
func (t *table) widest(w []int, limit func(c *column) int) int {
	give := -1
	for i := range t.columns {
		if l := limit(&t.columns[i]); !t.left[i] && l > 0 && w[i] > l && (give < 0 || w[i] > w[give]) {
			give = i
		}
	}
	return give
}
