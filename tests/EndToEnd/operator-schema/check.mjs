// Checks objects of Prometheus Operator against its published types. The types are TypeScript, so each object is written out as a
// literal of its type, and the compiler says what does not fit: a missing field, a wrong type, and, since these are fresh literals, a
// field that the operator does not know.
//
//   node check.mjs FILE      a JSON array of objects; prints one line a violation; exit code 1 if there are any

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const here = dirname(fileURLToPath(import.meta.url));
const types = {
  'monitoring.coreos.com/v1/PodMonitor': ['v1', 'IPodMonitor'],
  'monitoring.coreos.com/v1/PrometheusRule': ['v1', 'IPrometheusRule'],
  'monitoring.coreos.com/v1alpha1/AlertmanagerConfig': ['v1alpha1', 'IAlertmanagerConfig'],
};
const objects = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const lines = [];
let violations = 0;
for (const object of objects) {
  const type = types[`${object.apiVersion}/${object.kind}`];
  if (!type) {
    console.log(`${object.metadata?.name}: there is no ${object.apiVersion} ${object.kind}`);
    violations++;
    continue;
  }
  const [version, name] = type;
  const module = `@kubernetes-models/prometheus-operator/monitoring.coreos.com/${version}/${name.slice(1)}`;
  lines.push(`export const o${lines.length}: import('${module}').${name} = ${JSON.stringify(object, null, 1)};`);
}

const file = join(here, 'objects.ts');
const source = ts.createSourceFile(file, lines.join('\n'), ts.ScriptTarget.ES2022, true);
const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: [],
};
const host = ts.createCompilerHost(options);
const { getSourceFile, fileExists, readFile } = host;
host.getSourceFile = (name, ...rest) => (name === file ? source : getSourceFile.call(host, name, ...rest));
host.fileExists = name => name === file || fileExists.call(host, name);
host.readFile = name => (name === file ? source.text : readFile.call(host, name));
for (const diagnostic of ts.getPreEmitDiagnostics(ts.createProgram([file], options, host))) {
  const line = diagnostic.file ? diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start ?? 0).line : 0;
  const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
  console.log(`${source.text.split('\n')[line]?.trim()}: ${text}`);
  violations++;
}
process.exit(violations > 0 ? 1 : 0);
