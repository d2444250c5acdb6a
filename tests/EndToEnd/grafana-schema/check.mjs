// Checks dashboards against Grafana's published schema. @grafana/schema ships it as TypeScript types and nothing else, so each
// dashboard is written out as TypeScript literals of those types, and the compiler says what does not fit: a missing field, a wrong
// type, a value outside an enumeration, and, since these are fresh literals, a field that Grafana does not know.
//
//   node check.mjs FOLDER|FILE...      prints one line a violation; exit code 1 if there are any

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const here = dirname(fileURLToPath(import.meta.url));
const panelTypes = {
  bargauge: 'bargauge/panelcfg/x/BarGaugePanelCfg_types.gen',
  stat: 'stat/panelcfg/x/StatPanelCfg_types.gen',
  'state-timeline': 'statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen',
  table: 'table/panelcfg/x/TablePanelCfg_types.gen',
  timeseries: 'timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen',
};
const moduleOf = type => type.replace(/\W/g, '_');

// The published types keep string enumerations nominal; in JSON they are their values. The Prometheus query and the annotation's
// texts belong to the data source plug-in, which publishes no schema: their fields are those of its query editor.
const prelude = `
import type { Dashboard, Panel, AnnotationQuery, DataQuery } from '@grafana/schema';
${Object.entries(panelTypes)
  .map(([type, path]) => `import type * as ${moduleOf(type)} from '@grafana/schema/dist/types/raw/composable/${path}.d.ts';`)
  .join('\n')}
type Json<T> = unknown extends T ? T
  : T extends string ? \`\${T}\`
  : T extends number | boolean | null | undefined ? T
  : T extends ReadonlyArray<infer U> ? Json<U>[]
  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
interface PrometheusQuery extends Omit<DataQuery, 'datasource'> {
  datasource: { type: 'prometheus'; uid: string };
  expr: string;
  editorMode?: 'code' | 'builder';
  exemplar?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  interval?: string;
  legendFormat?: string;
  range?: boolean;
}
interface PrometheusAnnotation extends AnnotationQuery<PrometheusQuery & DataQuery> {
  tagKeys?: string;
  textFormat?: string;
  titleFormat?: string;
  useValueForTime?: 'on' | 'off';
}
`;

/** One constant for each part whose type the dashboard's own type leaves open; `at` names it in messages. */
function literals(dashboard) {
  const parts = [];
  const add = (at, type, value) => parts.push({ at, type, value });
  const { panels = [], annotations = {}, ...rest } = dashboard;
  add('dashboard', 'Json<Dashboard>', rest);
  for (const annotation of annotations.list ?? []) add(`annotation '${annotation.name}'`, 'Json<PrometheusAnnotation>', annotation);
  for (const panel of panels) {
    const at = `panel '${panel.title}'`;
    if (!panelTypes[panel.type]) throw new Error(`${at}: no schema is set up here for the panel type '${panel.type}'`);
    const { options, targets, fieldConfig, ...frame } = panel;
    const { custom = {}, ...defaults } = fieldConfig?.defaults ?? {};
    const module = moduleOf(panel.type);
    const customType = panel.type === 'stat' || panel.type === 'bargauge' ? 'Record<string, never>' : `Json<Partial<${module}.FieldConfig>>`;
    add(at, 'Json<Omit<Panel, "options" | "targets" | "fieldConfig">>', frame);
    add(`${at} options`, `Json<${module}.Options>`, options);
    add(`${at} fieldConfig.defaults`, 'Json<Omit<NonNullable<Panel["fieldConfig"]>["defaults"], "custom">>', defaults);
    add(`${at} fieldConfig.defaults.custom`, customType, custom);
    for (const override of fieldConfig?.overrides ?? [])
      add(`${at} fieldConfig.overrides`, 'Json<NonNullable<Panel["fieldConfig"]>["overrides"][number]>', override);
    for (const target of targets ?? []) add(`${at} target ${target.refId}`, 'Json<PrometheusQuery>', target);
  }
  return parts;
}

const files = process.argv.slice(2).flatMap(path =>
  statSync(path).isDirectory() ? readdirSync(path).filter(name => name.endsWith('.json')).map(name => join(path, name)) : [path]);
if (files.length === 0) throw new Error('no dashboard to check');

const sources = new Map();
const origins = new Map();
for (const file of files) {
  // A folder that need not exist: the compiler reads these texts from memory, and resolves imports from here.
  const name = join(here, `${basename(file, '.json')}.check.ts`);
  let text = prelude;
  const lines = [];
  literals(JSON.parse(readFileSync(file, 'utf8'))).forEach(({ at, type, value }, index) => {
    text += `export const part${index}: ${type} = ${JSON.stringify(value)};\n`;
    lines[text.split('\n').length - 2] = at;
  });
  sources.set(name, text);
  origins.set(name, { file, lines });
}

const options = {
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  noEmit: true,
  skipLibCheck: true,
  strict: true,
  target: ts.ScriptTarget.ESNext,
  types: [],
};
const host = ts.createCompilerHost(options);
const { fileExists, readFile, getSourceFile } = host;
host.fileExists = name => sources.has(name) || fileExists(name);
host.readFile = name => sources.get(name) ?? readFile(name);
host.getSourceFile = (name, ...rest) =>
  sources.has(name) ? ts.createSourceFile(name, sources.get(name), options.target) : getSourceFile(name, ...rest);

const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host));
for (const { file, start, messageText } of diagnostics) {
  const message = ts.flattenDiagnosticMessageText(messageText, ' ');
  const origin = file && origins.get(file.fileName);
  const line = origin ? file.getLineAndCharacterOfPosition(start).line : 0;
  console.log(origin ? `${origin.file}: ${origin.lines[line] ?? 'types'}: ${message}` : message);
}
console.log(`${files.length} dashboards, ${diagnostics.length} violations`);
process.exitCode = diagnostics.length > 0 ? 1 : 0;
