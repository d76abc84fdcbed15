// The tables of the lakehouse.

import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import type { Schemas } from '../../api/client';
import { tablesQuery } from '../../api/queries';
import { bytes, count } from '../../format/number';
import { DataTable, type Column } from '../../parts/DataTable';
import { Filter } from '../../parts/Filter';
import { Cut, Empty, Loaded, Page } from '../../parts/Page';
import { StateShape } from '../../parts/State';
import { Time } from '../../parts/Time';

type Line = Schemas['Tables']['tables'][number];
const NONE = <span className="none">–</span>;

/** The newest results: what did not pass is named, else how many passed. */
function Checks({ line }: { line: Line }) {
  const checks = line.checks;
  if (!checks || checks.passed + checks.warned + checks.failed === 0) return NONE;
  const state = checks.failed > 0 ? 'stopped' : checks.warned > 0 ? 'warned' : 'succeeded';
  const parts = [[checks.failed, 'failed'], [checks.warned, 'warn'], [checks.passed, 'ok']] as const;
  const words = parts.filter(([found]) => found > 0).map(([found, word]) => `${found} ${word}`).join(', ');
  return <span className={`state s-${state}`}><StateShape state={state} label="" />{words}</span>;
}

const COLUMNS: readonly Column<Line>[] = [
  {
    id: 'table', title: 'Table', isMain: true, by: (line) => line.table,
    cell: (line) => <><Link to="/tables/$name" params={{ name: line.table }} search={{}} className="row-link" data-row>{line.table}</Link>{line.is_view && <span className="soft"> view</span>}</>,
  },
  { id: 'rows', title: 'Rows', isNumber: true, by: (line) => line.rows, cell: (line) => (line.rows === null ? NONE : count(line.rows)) },
  { id: 'columns', title: 'Columns', isNumber: true, by: (line) => line.columns, cell: (line) => (line.columns == null ? NONE : count(line.columns)) },
  { id: 'checks', title: 'Checks', by: (line) => -(line.checks?.failed ?? 0) * 1000 - (line.checks?.warned ?? 0), cell: (line) => <Checks line={line} /> },
  { id: 'bytes', title: 'Size', isNumber: true, by: (line) => line.bytes, cell: (line) => (line.bytes === null ? NONE : bytes(line.bytes)) },
  { id: 'version', title: 'Version', isNumber: true, by: (line) => line.table_version, cell: (line) => line.table_version },
  { id: 'at', title: 'Written', isNumber: true, by: (line) => line.at_ms, cell: (line) => (line.at_ms == null ? NONE : <Time us={line.at_ms * 1000} />) },
  { id: 'run', title: 'By', by: (line) => line.run, cell: (line) => (line.run == null ? NONE : <Link to="/runs/$id" params={{ id: line.run }} search={{}} tabIndex={-1} className="over">{line.run}</Link>) },
];

export function Tables() {
  const tables = useQuery(tablesQuery);
  const { find = '' } = useSearch({ from: '/tables' });
  const navigate = useNavigate({ from: '/tables' });
  return (
    <Page title="Tables" command={'towpath query "show tables"'}
      actions={<Filter label="Filter tables" value={find} onChange={(text) => void navigate({ search: { find: text }, replace: true })} />}>
      <Loaded query={tables} lines={8}>
        {({ tables: all, isCut }) => {
          const rows = all.filter((line) => line.table.includes(find.trim()));
          if (all.length === 0) return <Empty command="towpath run">The lakehouse has no table yet; the first run writes them.</Empty>;
          if (rows.length === 0) return <Empty>No table has “{find}” in its name.</Empty>;
          return <><DataTable label="Tables" columns={COLUMNS} rows={rows} rowKey={(line) => line.table} />{isCut && <Cut />}</>;
        }}
      </Loaded>
    </Page>
  );
}
