// The log of a run: only the lines that are seen are drawn; follow, search, level, task, and a link to each line.

import { useNavigate, useSearch } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useMemo, useRef, useState, type CSSProperties } from 'react';
import { clock, time } from '../../format/time';
import { count } from '../../format/number';
import { filtered, matches, type Level, type LogLine } from '../../model/log';
import { useCopy } from '../../parts/Command';
import { Empty } from '../../parts/Page';
import { Problem } from '../../parts/Problem';
import { useLogs } from './useLogs';

const LEVELS: readonly (readonly [Level, string])[] = [['info', 'all lines'], ['warn', 'warnings and errors'], ['error', 'errors']];
const isLevel = (text: string | undefined): text is Level => LEVELS.some(([level]) => level === text);
const ROW = 22;

/** The text with the found words marked. */
function Marked({ text, words }: { text: string; words: string }) {
  const wanted = words.trim().toLowerCase();
  const at = wanted === '' ? -1 : text.toLowerCase().indexOf(wanted);
  if (at < 0) return <>{text}</>;
  const end = at + wanted.length;
  return <>{text.slice(0, at)}<mark>{text.slice(at, end)}</mark><Marked text={text.slice(end)} words={words} /></>;
}

interface LineProps {
  line: LogLine;
  words: string;
  isOn: boolean;
  onLink: (() => void) | undefined;
}

function Line({ line, words, isOn, onLink }: LineProps) {
  const level = line.level === 'info' ? '' : line.level;
  return (
    <div className={`log-line ${level} ${isOn ? 'is-on' : ''} ${line.isPrinted ? 'is-printed' : ''}`}>
      {onLink
        ? <button type="button" className="log-number" tabIndex={-1} title="Copy the link to this line" aria-label={`Copy the link to line ${line.number}`} onClick={onLink}>{line.number}</button>
        : <span className="log-number">{line.number}</span>}
      <span className="log-time" title={line.atUs === undefined ? undefined : time(line.atUs / 1000, Date.now()).full}>{line.atUs === undefined ? '' : clock(line.atUs / 1000)}</span>
      <span className="log-level">{level}</span>
      <span className="log-task">{line.task ?? ''}</span>
      <span className="log-text"><Marked text={line.text} words={words} /></span>
    </div>
  );
}

interface LinesProps {
  /** The width of the column of tasks, in letters. */
  width: number;
  /** Links name a line by its number, which is only sure when the log is whole. */
  hasLinks: boolean;
  lines: readonly LogLine[];
  words: string;
  /** The number of the line that is pointed at. */
  pointed: number | undefined;
  isFollowing: boolean;
  /** Somebody scrolled: to the end, or away from it. */
  onEnd: (isAtEnd: boolean) => void;
}

function Lines({ lines, width, hasLinks, words, pointed, isFollowing, onEnd }: LinesProps) {
  const ref = useRef<HTMLDivElement>(null);
  const { copy } = useCopy();
  const virtual = useVirtualizer({
    count: lines.length, getScrollElement: () => ref.current, estimateSize: () => ROW, overscan: 20,
  });
  const place = pointed === undefined ? -1 : lines.findIndex((line) => line.number === pointed);
  useEffect(() => {
    if (place >= 0) virtual.scrollToIndex(place, { align: 'center' });
  }, [place, virtual]);
  useEffect(() => {
    if (isFollowing && lines.length > 0) virtual.scrollToIndex(lines.length - 1, { align: 'end' });
  }, [isFollowing, lines.length, virtual]);
  const lastTop = useRef(0);
  const onScroll = (box: HTMLElement) => {
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 2 * ROW;
    // Upwards is away from the end; what grows below the view is not.
    if (isAtEnd) onEnd(true);
    else if (box.scrollTop < lastTop.current) onEnd(false);
    lastTop.current = box.scrollTop;
  };
  const link = (line: LogLine) => {
    const url = new URL(location.href);
    url.searchParams.set('view', 'log');
    url.searchParams.set('line', String(line.number));
    copy(url.href);
  };
  return (
    <div ref={ref} className="log" style={{ '--task-width': `${width}ch` } as CSSProperties} tabIndex={0} role="log" aria-label="Log" aria-live="off"
      onScroll={(event) => onScroll(event.currentTarget)}>
      <div className="log-all" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((item) => {
          const line = lines[item.index];
          return line && (
            <div key={item.key} ref={virtual.measureElement} data-index={item.index} className="log-place" style={{ transform: `translateY(${item.start}px)` }}>
              <Line line={line} words={words} isOn={line.number === pointed} onLink={hasLinks ? () => link(line) : undefined} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

export function LogView({ id, tasks }: { id: string; tasks: readonly string[] }) {
  const log = useLogs(id);
  const search = useSearch({ from: '/runs/$id' });
  const navigate = useNavigate({ from: '/runs/$id' });
  const [isFollowing, setFollowing] = useState(search.line === undefined);
  const level = isLevel(search.level) ? search.level : 'info';
  const words = search.find ?? '';
  const width = useMemo(() => tasks.reduce((most, task) => Math.max(most, task.length), 4) + 1, [tasks]);
  const lines = useMemo(() => filtered(log.lines, { level, task: search.task }), [log.lines, level, search.task]);
  const found = useMemo(() => matches(lines, words), [lines, words]);
  const pointed = search.line === undefined ? undefined : Number(search.line);
  const change = (part: Partial<typeof search>) => void navigate({ search: { ...search, ...part }, replace: true, resetScroll: false });
  const at = found.findIndex((index) => lines[index]?.number === pointed);
  const step = (by: number) => {
    const line = lines[found[(at + by + found.length) % found.length] ?? -1];
    if (!line) return;
    setFollowing(false);
    change({ line: String(line.number) });
  };
  return (
    <div className="log-view">
      <div className="log-tools">
        <input type="search" className="filter" aria-label="Search the log" placeholder="Search the log" value={words} spellCheck={false}
          onChange={(event) => change({ find: event.target.value })}
          onKeyDown={(event) => { if (event.key === 'Enter') step(event.shiftKey ? -1 : 1); }} />
        <span className="log-found" role="status">{words.trim() === '' ? '' : found.length === 0 ? 'not found' : `${at < 0 ? '' : `${at + 1} of `}${count(found.length)} found`}</span>
        <label className="pick">Level{' '}
          <select value={level} onChange={(event) => change({ level: event.target.value === 'info' ? '' : event.target.value })}>
            {LEVELS.map(([one, title]) => <option key={one} value={one}>{title}</option>)}
          </select>
        </label>
        <label className="pick">Task{' '}
          <select value={search.task ?? ''} onChange={(event) => change({ task: event.target.value })}>
            <option value="">all</option>
            {tasks.map((task) => <option key={task}>{task}</option>)}
          </select>
        </label>
        <label className="pick"><input type="checkbox" checked={isFollowing} onChange={(event) => setFollowing(event.target.checked)} /> Follow</label>
      </div>
      {lines.length > 0
        ? <Lines lines={lines} width={width} hasLinks={log.isWhole} words={words} pointed={pointed} isFollowing={isFollowing} onEnd={setFollowing} />
        : <div className="log is-empty"><Empty>{log.isWhole ? 'No line fits.' : 'Waiting for the first line.'}</Empty></div>}
      {log.error !== undefined && <Problem error={log.error} />}
      <p className="soft log-end">{count(lines.length)} lines{log.isWhole ? '' : ', more follow'}{log.isElsewhere && '. Programs of this run ran on another machine, which has what they printed.'}</p>
    </div>
  );
}
