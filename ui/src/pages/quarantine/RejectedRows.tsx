// The rejected rows of a table: the reasons counted, each row with its bad cells marked and its place in the source.

import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { useLayoutEffect, useRef } from 'react';
import type { Schemas } from '../../api/client';
import { rejectedRowsQuery } from '../../api/queries';
import { count, counted } from '../../format/number';
import { parseTime } from '../../format/time';
import { Command } from '../../parts/Command';
import { Empty, Page, Section, Skeleton } from '../../parts/Page';
import { Problem } from '../../parts/Problem';
import { Time } from '../../parts/Time';

type Rows = Schemas['RejectedRows'];
type Row = Rows['rows'][number];

function Reasons({ reasons }: { reasons: NonNullable<Rows['reasons']> }) {
  const most = Math.max(1, ...reasons.map((reason) => reason.rows));
  return (
    <ul className="reasons">
      {reasons.map((reason) => (
        <li key={`${reason.code} ${reason.column} ${reason.message}`}>
          <span className="reason-rows number">{count(reason.rows)}</span>
          <span className="reason-bar" aria-hidden="true"><span style={{ width: `${(100 * reason.rows) / most}%` }} /></span>
          <span>{reason.column !== null && <code>{reason.column}</code>} {reason.message} <code className="soft">{reason.code}</code></span>
        </li>
      ))}
    </ul>
  );
}

function Cells({ row }: { row: Row }) {
  const ref = useRef<HTMLDivElement>(null);
  // Of a wide row, the bad cell is in sight.
  useLayoutEffect(() => {
    const box = ref.current;
    const bad = box?.querySelector<HTMLElement>('td.is-bad');
    if (box && bad && bad.offsetLeft + bad.offsetWidth > box.clientWidth) box.scrollLeft = bad.offsetLeft - 24;
  }, [row]);
  if (row.cells.length === 0) return <pre className="record">{row.record ?? ''}</pre>;
  return (
    <div ref={ref} className="cells" tabIndex={0} role="group" aria-label="The row">
      <table className="cells-table">
        <thead><tr>{row.cells.map((cell) => <th key={cell.column} scope="col" className={cell.reasons.length > 0 ? 'is-bad' : ''}>{cell.column}</th>)}</tr></thead>
        <tbody>
          <tr>
            {row.cells.map((cell) => (
              <td key={cell.column} className={cell.reasons.length > 0 ? 'is-bad' : ''}>
                {cell.value ?? <span className="none">null</span>}
                {cell.reasons.map((reason) => <span key={reason} className="cell-reason">{reason}</span>)}
              </td>
            ))}
          </tr>
        </tbody>
      </table>
    </div>
  );
}

function RejectedRow({ row }: { row: Row }) {
  const ms = parseTime(row.rejected_at);
  const reasons = row.reasons as { column?: string | null; message?: string; value?: string | null }[];
  // What cells do not say themselves.
  const others = reasons.filter((reason) => !row.cells.some((cell) => cell.column === reason.column && cell.reasons.length > 0));
  return (
    <li className="rejected">
      <p className="rejected-head">
        <strong data-row tabIndex={-1}>{row.object}{row.line !== null && `:${row.line}`}</strong>
        <span className="soft"> {row.status} · rejected {ms === undefined ? row.rejected_at : <Time us={ms * 1000} />} by </span>
        <Link to="/runs/$id" params={{ id: row.run }} search={{}}>{row.run}</Link>
      </p>
      {others.map((reason) => (
        <p key={`${reason.column} ${reason.message}`} className="cell-reason">
          {reason.column != null && <code>{reason.column}</code>}{reason.value != null && <> is <code>{reason.value}</code></>}{reason.column != null && ': '}{reason.message}
        </p>
      ))}
      <Cells row={row} />
    </li>
  );
}

export function RejectedRows() {
  const { name } = useParams({ from: '/quarantine/$name' });
  const query = useQuery(rejectedRowsQuery(name));
  const found = query.data;
  return (
    <Page title={name} above={<Link to="/quarantine">Quarantine</Link>} command={`towpath quarantine show ${name}`}
      facts={<>Rows of <Link to="/tables/$name" params={{ name }} search={{}}>{name}</Link> that a rule rejected. They wait until they are replayed or discarded.</>}>
      <ul className="ways">
        <li><span className="soft">Load them again, through transforms, rules and checks</span> <Command text={`towpath quarantine replay ${name}`} /></li>
        <li><span className="soft">Give them up</span> <Command text={`towpath quarantine discard ${name}`} /></li>
      </ul>
      {query.error && !found && <Problem error={query.error} again={() => void query.refetch()} />}
      {query.isPending && <Skeleton lines={8} />}
      {found && found.rows.length === 0 && <Empty command={`towpath quarantine ls`}>No row of this table waits.</Empty>}
      {found?.reasons && found.reasons.length > 0 && (
        <Section title="Reasons" aside={found.reasons_are_complete ? undefined : <span className="soft">of the newest rows</span>}><Reasons reasons={found.reasons} /></Section>
      )}
      {found && found.rows.length > 0 && (
        <Section title={found.next === undefined ? counted(found.rows.length, 'row') : `The newest ${counted(found.rows.length, 'row')}`}>
          <ul className="rejected-rows">{found.rows.map((row, index) => <RejectedRow key={`${row.object} ${row.line} ${row.run} ${index}`} row={row} />)}</ul>
        </Section>
      )}
    </Page>
  );
}
