// The versions of a table: when, by which run, and what each changed.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import type { Schemas } from '../../api/client';
import { versionsQuery } from '../../api/queries';
import { count } from '../../format/number';
import { DataTable, type Column } from '../../parts/DataTable';
import { Empty, Loaded, Skeleton } from '../../parts/Page';
import { Time } from '../../parts/Time';

const Plot = lazy(() => import('../../parts/Plot').then((module) => ({ default: module.Plot })));

type Version = Schemas['TableVersions']['history'][number];
const NONE = <span className="none">–</span>;

function stat(version: Version, name: string): number | undefined {
  const value = (version.stats as Record<string, unknown> | null)?.[name];
  return typeof value === 'number' ? value : undefined;
}

const number = (name: string, title: string): Column<Version> => ({
  id: name, title, isNumber: true, by: (version) => stat(version, name),
  cell: (version) => { const value = stat(version, name); return value === undefined ? NONE : count(value); },
});

const COLUMNS: readonly Column<Version>[] = [
  { id: 'version', title: 'Version', isMain: true, by: (version) => version.version, cell: (version) => <strong>{version.version}</strong> },
  { id: 'at', title: 'Written', isNumber: true, by: (version) => version.at_ms, cell: (version) => (version.at_ms === null ? NONE : <Time us={version.at_ms * 1000} />) },
  { id: 'run', title: 'By', by: (version) => version.run, cell: (version) => (version.run === null ? <span className="soft">{version.engine ?? '–'}</span> : <Link to="/runs/$id" params={{ id: version.run }} search={{}} data-row>{version.run}</Link>) },
  { id: 'write', title: 'Write', by: (version) => version.write, cell: (version) => version.write ?? version.operation.toLowerCase() },
  number('inserted', 'Inserted'), number('updated', 'Updated'), number('deleted', 'Deleted'), number('rows_after', 'Rows after'),
];

export function Versions({ table }: { table: string }) {
  const query = useQuery(versionsQuery(table));
  return (
    <Loaded query={query} lines={6}>
      {({ history }) => {
        if (history.length === 0) return <Empty command={`towpath lake history ${table}`}>No version is known.</Empty>;
        const points = [...history].reverse().map((version) => ({ name: String(version.version), value: stat(version, 'rows_after') ?? null }));
        return (
          <>
            {history.length > 2 && <Suspense fallback={<Skeleton lines={5} />}><Plot title="Rows, by version" points={points} say={count} /></Suspense>}
            <DataTable label="Versions" columns={COLUMNS} rows={history} rowKey={(version) => String(version.version)} />
          </>
        );
      }}
    </Loaded>
  );
}
