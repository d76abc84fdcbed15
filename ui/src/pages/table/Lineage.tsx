// Where the columns of a table come from, and what breaks if one of them changes.

import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { lineageQuery, tablesQuery } from '../../api/queries';
import { counted } from '../../format/number';
import { lineageTables, type LineageColumn, type LineageTable } from '../../model/lineage';
import { Empty, Skeleton } from '../../parts/Page';
import { Problem } from '../../parts/Problem';

const WORDS: Record<string, string> = {
  IDENTITY: 'copied', TRANSFORMATION: 'computed', AGGREGATION: 'aggregated', FILTER: 'decides rows', JOIN: 'decides rows', GROUP_BY: 'groups rows', SORT: 'sorts rows',
};

/** What it becomes or comes from; nothing for a column that is copied under its own name. */
function touchWords(from: LineageColumn, direction: 'up' | 'down'): string {
  const words = from.touches.map((to) => {
    const how = WORDS[to.influence] ?? to.influence.toLowerCase();
    if (to.column === from.column && to.influence === 'IDENTITY') return '';
    const other = to.column === '' ? 'all rows' : to.column;
    return direction === 'up' ? `${how} → ${other}` : `← ${other}, ${how}`;
  });
  return [...new Set(words.filter(Boolean))].join('; ');
}

function Columns({ one, column, direction }: { one: LineageTable; column: string | undefined; direction: 'up' | 'down' }) {
  const shown = one.columns.filter((from) => column === undefined || from.touches.some((to) => to.column === column));
  if (shown.length === 0) return null;
  return (
    <ul className="lineage-columns">
      {shown.map((from) => (
        <li key={from.column}>
          {from.column === '' ? <span>all rows</span> : <code>{from.column}</code>}
          <span className="soft">{touchWords(from, direction)}</span>
        </li>
      ))}
    </ul>
  );
}

function Side({ table, direction, column, known }: { table: string; direction: 'up' | 'down'; column: string | undefined; known: ReadonlySet<string> }) {
  const query = useQuery(lineageQuery(column === undefined ? table : `${table}.${column}`, direction));
  const whole = useQuery(lineageQuery(table, direction));
  if (query.error && !query.data) return <Problem error={query.error} again={() => void query.refetch()} />;
  if (!query.data) return <Skeleton lines={5} />;
  const tables = lineageTables(query.data.edges, table, direction);
  const isNone = (whole.data?.edges.length ?? 0) === 0;
  if (tables.length === 0) {
    return <Empty>{direction === 'down' ? (isNone ? 'Nothing in this project reads this table.' : 'Nothing reads this column.') : isNone ? 'Nothing is known about where it comes from.' : 'Nothing is known about where this column comes from.'}</Empty>;
  }
  return (
    <ul className="lineage-tables">
      {tables.map((one) => (
        <li key={one.table}>
          <p className="lineage-table">
            {known.has(one.table) ? <Link to="/tables/$name" params={{ name: one.table }} search={{ view: 'lineage' }} data-row>{one.table}</Link> : <strong>{one.table}</strong>}
            {one.distance > 0 && <span className="soft"> {counted(one.distance, 'table')} between</span>}
          </p>
          <Columns one={one} column={column} direction={direction} />
        </li>
      ))}
    </ul>
  );
}

export function Lineage({ table, columns }: { table: string; columns: readonly string[] }) {
  const { column } = useSearch({ from: '/tables/$name' });
  const navigate = useNavigate({ from: '/tables/$name' });
  const known = new Set(useQuery(tablesQuery).data?.tables.map((one) => one.table));
  return (
    <>
      <label className="pick">Column{' '}
        <select value={column ?? ''} onChange={(event) => void navigate({ search: { view: 'lineage', column: event.target.value }, replace: true, resetScroll: false })}>
          <option value="">all</option>
          {columns.map((one) => <option key={one}>{one}</option>)}
        </select>
      </label>
      <div className="lineage">
        <section><h2>Comes from</h2><Side table={table} direction="up" column={column} known={known} /></section>
        <section><h2>Goes to</h2><Side table={table} direction="down" column={column} known={known} /></section>
      </div>
    </>
  );
}
