// Quarantine: in which tables are rows that were rejected?

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { Schemas } from '../../api/client';
import { quarantineQuery } from '../../api/queries';
import { count } from '../../format/number';
import { DataTable, type Column } from '../../parts/DataTable';
import { Empty, Loaded, Page } from '../../parts/Page';

type Line = Schemas['Quarantine']['tables'][number];
const number = (id: 'held' | 'replayed' | 'discarded' | 'outdated', title: string): Column<Line> => ({
  id, title, isNumber: true, by: (line) => line[id], cell: (line) => (line[id] === 0 ? <span className="none">–</span> : count(line[id])),
});

const COLUMNS: readonly Column<Line>[] = [
  { id: 'table', title: 'Table', isMain: true, by: (line) => line.table, cell: (line) => <Link to="/quarantine/$name" params={{ name: line.table }} search={{}} className="row-link" data-row>{line.table}</Link> },
  number('held', 'Held'), number('replayed', 'Replayed'), number('discarded', 'Discarded'), number('outdated', 'Outdated'),
];

export function Quarantine() {
  const query = useQuery(quarantineQuery);
  return (
    <Page title="Quarantine" command="towpath quarantine ls" facts="Rows that a rule rejected wait here until they are replayed or discarded.">
      <Loaded query={query}>
        {({ tables }) => (tables.length === 0
          ? <Empty command="towpath quality">No row was ever rejected. A rule is a key of a column, for example <code>min: 0</code>.</Empty>
          : <DataTable label="Tables with rejected rows" columns={COLUMNS} rows={tables} rowKey={(line) => line.table} />)}
      </Loaded>
    </Page>
  );
}
