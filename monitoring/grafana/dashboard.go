package main

import "strconv"

const repository = "https://github.com/tcpstate/tcpstate/blob/main/"

var prometheus = datasource{Type: "prometheus", UID: "${datasource}"}

// build lays the panels out: rows of them from top to bottom, each as wide as it says of 24 columns.
func build() dashboard {
	d := dashboard{
		UID: "tcpstate", Title: "tcpstate",
		Description:   "Who opens connections to where, whether they are pooled, and how many local ports are left.",
		Tags:          []string{"tcp", "tcpstate"},
		SchemaVersion: 39, Version: 1, Editable: true, GraphTooltip: 1, Refresh: "30s",
		Time: span{From: "now-1h", To: "now"},
		Links: []dashLink{{
			link: link{Title: "runbook", URL: repository + "docs/runbook/README.md", TargetBlank: true},
			Type: "link", Icon: "doc", Tags: []string{},
		}},
		Templating: templating{List: variables()},
		Annotations: annotations{List: []annotation{{
			Name: "alerts", Enable: true, IconColor: "red", Datasource: prometheus, TitleFormat: "{{alertname}} {{destination}}",
			Expr: `ALERTS{alertname=~"Tcpstate.*",alertstate="firing",instance=~"$instance"}`,
		}}},
	}
	y := 0
	for _, s := range sections() {
		d.add(panel{Type: "row", Title: s.title, Collapsed: new(bool), Panels: &[]panel{}, GridPos: grid{H: 1, W: 24, Y: y}})
		y++
		x, tallest := 0, 0
		for _, p := range s.panels {
			if x+p.GridPos.W > 24 {
				x, y, tallest = 0, y+tallest, 0
			}
			p.GridPos.X, p.GridPos.Y = x, y
			x, tallest = x+p.GridPos.W, max(tallest, p.GridPos.H)
			d.add(p)
		}
		y += tallest
	}
	return d
}

func (d *dashboard) add(p panel) {
	p.ID = len(d.Panels) + 1
	d.Panels = append(d.Panels, p)
}

func variables() []variable {
	list := []variable{{Name: "datasource", Label: "data source", Type: "datasource", Query: "prometheus", Refresh: 1}}
	for _, v := range []struct{ name, query string }{
		{"job", `label_values(tcpstate_tracer_info, job)`},
		{"instance", `label_values(tcpstate_tracer_info{job=~"$job"}, instance)`},
		{"service", `label_values(tcpstate_connects_total{job=~"$job",instance=~"$instance"}, service)`},
		{"destination",
			`label_values(tcpstate_connects_total{job=~"$job",instance=~"$instance",service=~"$service"}, destination)`},
	} {
		list = append(list, variable{
			Name: v.name, Label: v.name, Type: "query",
			Query:      variableQuery{Query: v.query, RefID: "variable"},
			Datasource: &prometheus, Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: ".*",
		})
	}
	return list
}

// query is one expression of a panel and how its series are called.
type query struct{ expr, legend string }

func targets(queries []query, with target) []target {
	var list []target
	for i, q := range queries {
		t := with
		t.RefID, t.Datasource, t.Expr, t.LegendFormat = string(rune('A'+i)), prometheus, q.expr, q.legend
		list = append(list, t)
	}
	return list
}

// graph is a panel of lines over time.
func graph(title, unit string, width int, queries ...query) panel {
	return panel{
		Type: "timeseries", Title: title, Datasource: &prometheus, GridPos: grid{H: 8, W: width},
		Targets: targets(queries, target{Range: true}),
		FieldConfig: &fieldConfig{
			Defaults: fieldDefaults{
				Unit: unit, Min: new(float64),
				Custom: map[string]any{"fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": false},
			},
			Overrides: []fieldOverride{},
		},
		Options: map[string]any{
			"legend": map[string]any{
				"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"},
			},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		},
	}
}

// number is a panel of one figure that is green below the first of its limits, then orange, then red.
func number(title, unit, expr string, limits ...float64) panel {
	steps := []threshold{{Color: "green"}}
	for i := range limits {
		steps = append(steps, threshold{Color: []string{"orange", "red"}[i+2-len(limits)], Value: &limits[i]})
	}
	return panel{
		Type: "stat", Title: title, Datasource: &prometheus, GridPos: grid{H: 4, W: 4},
		Targets: targets([]query{{expr: expr}}, target{Instant: true}),
		FieldConfig: &fieldConfig{
			Defaults:  fieldDefaults{Unit: unit, NoValue: "-", Thresholds: &thresholds{Mode: "absolute", Steps: steps}},
			Overrides: []fieldOverride{},
		},
		Options: map[string]any{
			"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			"colorMode":     "background", "graphMode": "none",
		},
	}
}

// table shows the labels of an expression's series, columns in this order, and their value under the given name.
func table(title string, width int, expr, value string, columns ...string) panel {
	order, show := map[string]int{}, map[string]bool{"Time": true}
	for i, c := range columns {
		order[c] = i
	}
	return panel{
		Type: "table", Title: title, Datasource: &prometheus, GridPos: grid{H: 8, W: width},
		Targets:     targets([]query{{expr: expr}}, target{Instant: true, Format: "table"}),
		FieldConfig: &fieldConfig{Overrides: []fieldOverride{}},
		Transformations: []transformation{{ID: "organize", Options: map[string]any{
			"indexByName": order, "excludeByName": show, "renameByName": map[string]string{"Value": value},
		}}},
	}
}

// said adds what a panel's title does not say.
func (p panel) said(description string) panel {
	p.Description = description
	return p
}

// linked lets the values of a column lead somewhere.
func (p panel) linked(column, title, url string) panel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, fieldOverride{
		Matcher:    matcher{ID: "byName", Options: column},
		Properties: []property{{ID: "links", Value: []link{{Title: title, URL: url, TargetBlank: true}}}},
	})
	return p
}

// dated shows a column of milliseconds as times.
func (p panel) dated(column string) panel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, fieldOverride{
		Matcher:    matcher{ID: "byName", Options: column},
		Properties: []property{{ID: "unit", Value: "dateTimeAsIso"}},
	})
	return p
}

// signed lets the lines go below zero.
func (p panel) signed() panel {
	p.FieldConfig.Defaults.Min = nil
	return p
}

// limited draws lines where alerts begin.
func (p panel) limited(most float64, limits ...float64) panel {
	n := number("", "", "", limits...)
	p.FieldConfig.Defaults.Thresholds = n.FieldConfig.Defaults.Thresholds
	p.FieldConfig.Defaults.Custom["thresholdsStyle"] = map[string]any{"mode": "line"}
	p.FieldConfig.Defaults.Max = &most
	return p
}

// top asks for the n highest, so that a graph of many hosts stays readable.
func top(n int, expr string) string { return "topk(" + strconv.Itoa(n) + ", " + expr + ")" }
