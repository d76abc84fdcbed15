// When the pipeline runs next, and over which intervals.

import { useQuery } from '@tanstack/react-query';
import type { Schemas } from '../../api/client';
import { previewQuery, type Pipeline } from '../../api/queries';
import { DataTable, type Column } from '../../parts/DataTable';
import { Command } from '../../parts/Command';
import { Empty, Loaded } from '../../parts/Page';
import { Away, Time } from '../../parts/Time';

type Fire = Schemas['SchedulePreview']['runs'][number];

const COLUMNS: readonly Column<Fire>[] = [
  { id: 'at', title: 'Runs at', isMain: true, cell: (fire) => <Time us={fire.end_us} /> },
  { id: 'away', title: 'That is', cell: (fire) => <Away us={fire.end_us} /> },
  { id: 'from', title: 'Interval from', isNumber: true, cell: (fire) => <Time us={fire.start_us} /> },
  { id: 'to', title: 'to', isNumber: true, cell: (fire) => <Time us={fire.end_us} /> },
];

export function Schedule({ pipeline }: { pipeline: Pipeline }) {
  const query = useQuery(previewQuery(pipeline.pipeline));
  return (
    <Loaded query={query} lines={6}>
      {({ runs }) => (
        <>
          {runs.length === 0
            ? <Empty>The schedule has no further time.</Empty>
            : <DataTable label="Next runs" columns={COLUMNS} rows={runs} rowKey={(fire) => String(fire.end_us)} />}
          {pipeline.paused && <p className="soft">The schedule is paused: none of these runs begins before it is resumed.</p>}
          <Command text={`towpath schedule preview ${pipeline.pipeline}`} />
        </>
      )}
    </Loaded>
  );
}
