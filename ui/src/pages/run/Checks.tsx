// Results of checks: what failed first.

import { decimal } from '../../format/number';
import type { Check } from '../../model/outcome';
import type { Shown } from '../../model/state';
import { DataTable, type Column } from '../../parts/DataTable';
import { Name } from '../../parts/Name';
import { Ticks } from '../../parts/Problem';
import { StateShape } from '../../parts/State';

const OUTCOMES: Record<string, { state: Shown; word: string }> = {
  pass: { state: 'succeeded', word: 'ok' },
  warn: { state: 'warned', word: 'warning' },
  fail: { state: 'stopped', word: 'failed' },
  error: { state: 'failed', word: 'did not run' },
};

export function CheckState({ outcome }: { outcome: string }) {
  const found = OUTCOMES[outcome] ?? { state: 'waiting' as const, word: outcome };
  return <span className={`state s-${found.state}`}><StateShape state={found.state} label="" />{found.word}</span>;
}

const RANK = ['fail', 'error', 'warn', 'pass'];

const COLUMNS: readonly Column<Check>[] = [
  { id: 'name', title: 'Check', isMain: true, by: (check) => check.name, cell: (check) => <Name text={check.name} /> },
  { id: 'outcome', title: 'Result', by: (check) => RANK.indexOf(check.outcome), cell: (check) => <CheckState outcome={check.outcome} /> },
  { id: 'value', title: 'Found', isNumber: true, by: (check) => check.value, cell: (check) => (check.value === null ? <span className="none">–</span> : decimal(check.value)) },
  { id: 'threshold', title: 'Allowed', cell: (check) => check.threshold },
  { id: 'message', title: 'What was found', cell: (check) => <span className="wrap">{check.message === '' ? <span className="none">–</span> : <Ticks text={check.message} />}</span> },
];

const TABLE: Column<Check> = { id: 'table', title: 'Table', by: (check) => check.table, cell: (check) => <span className="wrap is-narrow"><Name text={check.table} /></span> };

export function Checks({ checks, hasTable = false }: { checks: readonly Check[]; hasTable?: boolean }) {
  const sorted = [...checks].sort((a, b) => RANK.indexOf(a.outcome) - RANK.indexOf(b.outcome));
  const [first, ...rest] = COLUMNS;
  const columns = hasTable && first ? [first, TABLE, ...rest] : COLUMNS;
  return <DataTable label="Checks" columns={columns} rows={sorted} rowKey={(check) => `${check.table} ${check.name}`} />;
}
