// A table: can I trust it?

import { useQuery } from '@tanstack/react-query';
import { Link, useParams, useSearch } from '@tanstack/react-router';
import type { Schemas } from '../../api/client';
import { quarantineQuery, tableQuery, tablesQuery } from '../../api/queries';
import { bytes, count, counted } from '../../format/number';
import { DataTable, type Column } from '../../parts/DataTable';
import { Page, Skeleton } from '../../parts/Page';
import { Problem } from '../../parts/Problem';
import { Tabs } from '../../parts/Tabs';
import { Time } from '../../parts/Time';
import { Lineage } from './Lineage';
import { TableChecks } from './TableChecks';
import { Versions } from './Versions';

type TableData = Schemas['Table'];
type ColumnData = TableData['columns'][number];

const COLUMNS: readonly Column<ColumnData>[] = [
  { id: 'name', title: 'Column', isMain: true, by: (column) => column.name, cell: (column) => <span data-row tabIndex={-1}>{column.name}</span> },
  { id: 'type', title: 'Type', by: (column) => column.type, cell: (column) => <code>{column.type}</code> },
  { id: 'source', title: 'In the source', cell: (column) => (column.source_name === undefined && column.source_type === undefined ? <span className="none">the same</span> : <code>{[column.source_name, column.source_type].filter(Boolean).join(' ')}</code>) },
];

function Figures({ table }: { table: TableData }) {
  const line = useQuery(tablesQuery).data?.tables.find((one) => one.table === table.table);
  const held = useQuery(quarantineQuery).data?.tables.find((one) => one.table === table.table)?.held ?? 0;
  return (
    <dl className="figures">
      <div><dt>Rows</dt><dd className="number">{table.rows === null ? '–' : count(table.rows)}</dd></div>
      <div><dt>Size</dt><dd className="number">{bytes(table.bytes)} <small>in {counted(table.files, 'file')}</small></dd></div>
      <div><dt>Version</dt><dd className="number">{table.table_version}{line?.at_ms != null && <small>written <Time us={line.at_ms * 1000} />{line.run != null && <> by <Link to="/runs/$id" params={{ id: line.run }} search={{}}>{line.run}</Link></>}</small>}</dd></div>
      {held > 0 && <div><dt>In the quarantine</dt><dd className="number"><Link to="/quarantine/$name" params={{ name: table.table }} search={{}}>{counted(held, 'row')}</Link></dd></div>}
    </dl>
  );
}

const COMMANDS: Record<string, (table: string) => string> = {
  schema: (table) => `towpath lake describe ${table}`,
  versions: (table) => `towpath lake history ${table}`,
  checks: () => 'towpath quality',
  lineage: (table) => `towpath lineage ${table}`,
};

export function Table() {
  const { name } = useParams({ from: '/tables/$name' });
  const { view = 'schema' } = useSearch({ from: '/tables/$name' });
  const query = useQuery(tableQuery(name));
  const table = query.data;
  return (
    <Page title={name} above={<Link to="/tables" search={{}}>Tables</Link>} command={(COMMANDS[view] ?? COMMANDS['schema'])?.(name) ?? ''}>
      {query.error && !table && <Problem error={query.error} again={() => void query.refetch()} />}
      {query.isPending && <Skeleton lines={8} />}
      {table && (
        <>
          <Figures table={table} />
          <Tabs label="Views of the table" current={view} tabs={[['schema', 'Schema'], ['versions', 'Versions'], ['checks', 'Checks'], ['lineage', 'Lineage']]} />
          {view === 'schema' && <DataTable label="Columns" columns={COLUMNS} rows={table.columns} rowKey={(column) => column.name} />}
          {view === 'versions' && <Versions table={name} />}
          {view === 'checks' && <TableChecks table={name} />}
          {view === 'lineage' && <Lineage table={name} columns={table.columns.map((column) => column.name)} />}
        </>
      )}
    </Page>
  );
}
