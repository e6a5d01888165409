import { readFileSync, writeFileSync } from 'node:fs';
const [, , file, out] = process.argv;
const d = JSON.parse(readFileSync(file, 'utf8'));
for (const a of d.annotations.list) delete a.expr, delete a.titleFormat; // the data source's own
const raw = '@grafana/schema/dist/esm/raw';
let ts = `import type { Dashboard, Panel, RowPanel } from '${raw}/dashboard/x/dashboard_types.gen';
import type * as timeseries from '${raw}/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as stat from '${raw}/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { PrometheusDataQuery } from '${raw}/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen';
type Plain<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T :
  T extends (infer U)[] ? Plain<U>[] : unknown extends T ? T : { [K in keyof T]: Plain<T[K]> };
`;
const { panels, ...rest } = d;
ts += `export const dashboard: Plain<Dashboard> = ${JSON.stringify(rest)};\n`;
for (const p of panels) {
  ts += `export const panel${p.id}: Plain<${p.type === 'row' ? 'RowPanel' : 'Panel'}> = ${JSON.stringify(p)};\n`;
  for (const [i, t] of (p.targets ?? []).entries()) {
    ts += `export const target${p.id}_${i}: Plain<PrometheusDataQuery> = ${JSON.stringify(t)};\n`;
  }
  const options = { timeseries: 'timeseries.Options', stat: 'stat.Options' }[p.type];
  if (options) ts += `export const options${p.id}: Partial<Plain<${options}>> = ${JSON.stringify(p.options)};\n`;
  if (p.type === 'timeseries') {
    ts += `export const custom${p.id}: Plain<timeseries.FieldConfig> = ${JSON.stringify(p.fieldConfig.defaults.custom)};\n`;
  }
}
writeFileSync(out, ts);
