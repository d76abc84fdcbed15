// The checks of a table: the newest result of each, and its values over the runs.

import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { qualityQuery } from '../../api/queries';
import { decimal } from '../../format/number';
import { DataTable, type Column } from '../../parts/DataTable';
import { Empty, Skeleton } from '../../parts/Page';
import { Name } from '../../parts/Name';
import { Problem, Ticks } from '../../parts/Problem';
import type { Schemas } from '../../api/client';
import { CheckState } from '../run/Checks';
import { Time } from '../../parts/Time';

const Plot = lazy(() => import('../../parts/Plot').then((module) => ({ default: module.Plot })));

type Result = Schemas['Checks']['checks'][number];

interface Named {
  name: string;
  /** Newest first. */
  results: readonly Result[];
}

function byName(results: readonly Result[]): Named[] {
  const found = new Map<string, Result[]>();
  for (const one of results) found.set(one.name, [...(found.get(one.name) ?? []), one]);
  return [...found].map(([name, list]) => ({ name, results: list }));
}

const newest = (check: Named) => check.results[0];
const RANK = ['fail', 'error', 'warn', 'pass'];

function columns(opened: string | undefined, open: (name: string) => void): Column<Named>[] {
  return [
    {
      id: 'name', title: 'Check', isMain: true, by: (check) => check.name,
      cell: (check) => <button type="button" className="row-link as-link" data-row aria-expanded={check.name === opened} onClick={() => open(check.name)}><Name text={check.name} /></button>,
    },
    { id: 'outcome', title: 'Newest result', by: (check) => RANK.indexOf(newest(check)?.outcome ?? ''), cell: (check) => <CheckState outcome={newest(check)?.outcome ?? ''} /> },
    { id: 'value', title: 'Found', isNumber: true, by: (check) => newest(check)?.value, cell: (check) => { const value = newest(check)?.value; return value == null ? <span className="none">–</span> : decimal(value); } },
    { id: 'threshold', title: 'Allowed', cell: (check) => newest(check)?.threshold },
    { id: 'message', title: 'What was found', cell: (check) => <span className="wrap">{newest(check)?.message ? <Ticks text={newest(check)?.message ?? ''} /> : <span className="none">–</span>}</span> },
    { id: 'at', title: 'When', isNumber: true, by: (check) => newest(check)?.at_us, cell: (check) => { const one = newest(check); return one ? <Time us={one.at_us} /> : null; } },
  ];
}

function Over({ check }: { check: Named }) {
  const navigate = useNavigate();
  const results = [...check.results].reverse();
  const points = results.map((one) => ({ name: `#${one.run.split('#')[1] ?? ''}`, value: one.value, isBad: one.outcome !== 'pass' }));
  return (
    <Suspense fallback={<Skeleton lines={5} />}>
      <Plot title={`${check.name}, by run; allowed: ${newest(check)?.threshold ?? ''}`} points={points} say={decimal}
        onOpen={(index) => { const run = results[index]?.run; if (run !== undefined) void navigate({ to: '/runs/$id', params: { id: run }, search: { view: 'checks' } }); }} />
    </Suspense>
  );
}

export function TableChecks({ table }: { table: string }) {
  const query = useQuery(qualityQuery(table));
  const [opened, setOpened] = useState<string>();
  if (query.error && !query.data) return <Problem error={query.error} again={() => void query.refetch()} />;
  if (!query.data) return <Skeleton lines={5} />;
  const checks = byName(query.data.checks);
  if (checks.length === 0) return <Empty command={`towpath quality`}>This table has no checks yet. A check is a line below <code>checks:</code> of the table.</Empty>;
  const sorted = checks.sort((a, b) => RANK.indexOf(newest(a)?.outcome ?? '') - RANK.indexOf(newest(b)?.outcome ?? ''));
  return (
    <DataTable label="Checks" columns={columns(opened, (name) => setOpened(name === opened ? undefined : name))} rows={sorted} rowKey={(check) => check.name}
      detail={(check) => (check.name === opened ? <Over check={check} /> : undefined)} />
  );
}
