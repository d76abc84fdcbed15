// The graph of a pipeline's tasks. A selected node keeps its path lit; steps of large graphs fold.

import '@xyflow/react/dist/base.css';
import { BaseEdge, Controls, Handle, MarkerType, Position, ReactFlow, type Edge, type EdgeProps, type Node, type NodeProps } from '@xyflow/react';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { Link } from '@tanstack/react-router';
import type { Pipeline } from '../../api/queries';
import { duration } from '../../format/duration';
import { counted } from '../../format/number';
import { fold, foldedAtFirst, pathOf, type FoldedNode, type Folded } from '../../model/graph';
import { isBad, taskShown, type Shown } from '../../model/state';
import { Skeleton } from '../../parts/Page';
import { Problem } from '../../parts/Problem';
import { StateShape } from '../../parts/State';
import type { GridRun } from './Grid';
import { Why } from './Why';
import { NODE_HEIGHT, pathAlong, place, placedBefore, type Placed } from './layout';

interface NodeData extends Record<string, unknown> {
  name: string;
  under: string;
  state: Shown | undefined;
  isStep: boolean;
  isDim: boolean;
}
type TaskNode = Node<NodeData, 'task'>;

function TaskNodeView({ data, selected }: NodeProps<TaskNode>) {
  return (
    <div className={`node ${data.isStep ? 'is-step' : ''} ${selected ? 'is-on' : ''} ${data.isDim ? 'is-dim' : ''}`}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      {data.state ? <StateShape state={data.state} /> : <span className="shape" />}
      <span className="node-text">
        <span className="node-name">{data.name}</span>
        <span className="node-under">{data.under}</span>
      </span>
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
}

function RoutedEdge({ id, data, markerEnd }: EdgeProps<Edge<{ path: string }>>) {
  return <BaseEdge id={id} path={data?.path ?? ''} {...(markerEnd === undefined ? {} : { markerEnd })} />;
}

const NODE_TYPES = { task: TaskNodeView };
const EDGE_TYPES = { routed: RoutedEdge };

const LEAST_ZOOM = 0.7;

/** Where a graph is moved to that does not fit: its first node is in sight. */
function beginY(nodes: readonly TaskNode[], height: number): number {
  const top = 56;
  const lowest = Math.max(0, ...nodes.map((node) => node.position.y + NODE_HEIGHT)) * LEAST_ZOOM;
  const first = [...nodes].sort((a, b) => a.position.x - b.position.x)[0];
  if (!first || lowest + 2 * top <= height) return top;
  return Math.min(top, height / 2 - (first.position.y + NODE_HEIGHT / 2) * LEAST_ZOOM);
}

/** The state of a folded step: the worst of its tasks. */
function worst(states: readonly Shown[]): Shown | undefined {
  return states.find(isBad) ?? states.find((state) => state === 'running') ?? states.find((state) => state === 'waiting') ?? states[0];
}

/** `extract/raw.orders` is `raw.orders` in its step. */
const shortName = (node: FoldedNode) => (node.isStep ? node.step : node.id.startsWith(`${node.step}/`) ? node.id.slice(node.step.length + 1) : node.id);

function usePlaced(pipeline: Pipeline, graph: Folded): { placed: Placed | undefined; error: unknown } {
  const key = `${pipeline.pipeline}\n${graph.nodes.map((node) => node.id).join('\n')}\n${graph.edges.map((edge) => `${edge.from}>${edge.to}`).join('\n')}`;
  const [state, setState] = useState<{ key: string; placed?: Placed; error?: unknown }>({ key: '' });
  useEffect(() => {
    if (placedBefore(key)) return;
    let isOld = false;
    const names = new Map(graph.nodes.map((node) => [node.id, shortName(node)]));
    place(key, graph, names).then(
      (placed) => { if (!isOld) setState({ key, placed }); },
      (error: unknown) => { if (!isOld) setState({ key, error }); },
    );
    return () => {
      isOld = true;
    };
    // The key says all that the layout depends on.
  }, [key]);
  return { placed: placedBefore(key) ?? state.placed, error: state.key === key ? state.error : undefined };
}

interface Drawn {
  pipeline: Pipeline;
  graph: Folded;
  placed: Placed;
  run: GridRun | undefined;
  selected: string | undefined;
}

function draw({ pipeline, graph, placed, run, selected }: Drawn): { nodes: TaskNode[]; edges: Edge[] } {
  const states = new Map<string, GridRun['tasks'][number]>(run?.tasks.map((task) => [task.id, task]));
  const lit = selected === undefined ? undefined : pathOf(pipeline.graph, selected);
  const isLit = (node: FoldedNode) => lit === undefined || node.tasks.some((task) => lit.has(task));
  const places = new Map(placed.nodes.map((node) => [node.id, node]));
  const byId = new Map(graph.nodes.map((node) => [node.id, node]));
  const nodes = graph.nodes.flatMap((node): TaskNode[] => {
    const at = places.get(node.id);
    if (!at) return [];
    const tasks = node.tasks.flatMap((id) => states.get(id) ?? []);
    const first = tasks[0];
    const took = first?.started_us != null && first.ended_us !== null ? duration(first.ended_us - first.started_us) : undefined;
    const name = shortName(node);
    const under = node.isStep ? counted(node.tasks.length, 'task') : [node.step === name ? '' : node.step, took].filter(Boolean).join(' · ');
    return [{
      id: node.id, type: 'task', position: { x: at.x, y: at.y }, width: at.width, height: NODE_HEIGHT,
      selected: node.tasks.includes(selected ?? ''), draggable: false, connectable: false,
      ariaLabel: `${name}, ${under}`,
      data: { name, under, state: worst(tasks.map(taskShown)), isStep: node.isStep, isDim: !isLit(node) },
    }];
  });
  const edges = graph.edges.map(({ from, to }): Edge => {
    const ends = [byId.get(from), byId.get(to)];
    const on = lit !== undefined && ends.every((node) => node && isLit(node));
    return {
      id: `${from}>${to}`, type: 'routed', source: from, target: to, focusable: false, selectable: false,
      data: { path: pathAlong(placed.edges.get(`${from}>${to}`) ?? []) },
      className: lit === undefined ? 'edge' : on ? 'edge is-on' : 'edge is-dim',
      markerEnd: { type: MarkerType.ArrowClosed, width: 14, height: 14, color: 'var(--line-strong)' },
    };
  });
  return { nodes, edges };
}

interface GraphProps {
  pipeline: Pipeline;
  run: GridRun | undefined;
  selected: string | undefined;
  onSelect: (task: string | undefined) => void;
}

export function Graph({ pipeline, run, selected, onSelect }: GraphProps) {
  const [folded, setFolded] = useState(() => foldedAtFirst(pipeline.graph));
  const graph = useMemo(() => fold(pipeline.graph, folded), [pipeline.graph, folded]);
  const { placed, error } = usePlaced(pipeline, graph);
  const drawn = useMemo(
    () => (placed ? draw({ pipeline, graph, placed, run, selected }) : undefined),
    [pipeline, graph, placed, run, selected],
  );
  const steps = pipeline.steps.filter((step) => pipeline.graph.filter((task) => task.step === step).length > 1);
  const toggle = (step: string) => {
    const next = new Set(folded);
    if (!next.delete(step)) next.add(step);
    setFolded(next);
  };
  const onNode = (id: string) => {
    const step = graph.nodes.find((node) => node.id === id);
    if (step?.isStep) toggle(step.step);
    else onSelect(id === selected ? undefined : id);
  };
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => setWidth(box.current?.clientWidth ?? 0), []);
  const zoom = placed && width > 0 ? Math.min(1, (width - 40) / placed.width) : 1;
  // A graph that would be too small to read begins at its left end, and is panned.
  const isWide = zoom < LEAST_ZOOM;
  const height = Math.min(560, Math.max(180, (placed?.height ?? 240) * Math.max(zoom, LEAST_ZOOM) + 110));
  return (
    <>
      <div className="graph-tools">
        {steps.map((step) => (
          <button key={step} type="button" className="button is-small" aria-pressed={!folded.has(step)} onClick={() => toggle(step)}>
            {folded.has(step) ? `Unfold ${step}` : `Fold ${step}`}
          </button>
        ))}
        {selected !== undefined && <Selected task={selected} pipeline={pipeline} onEnd={() => onSelect(undefined)} />}
      </div>
      <div ref={box} className="graph" style={{ height }}>
        {error !== undefined && <Problem error={error} />}
        {!drawn && error === undefined && <Skeleton lines={4} />}
        {drawn && width > 0 && (
          <ReactFlow nodes={drawn.nodes} edges={drawn.edges} nodeTypes={NODE_TYPES} edgeTypes={EDGE_TYPES} {...(isWide ? { defaultViewport: { x: 16, y: beginY(drawn.nodes, height), zoom: LEAST_ZOOM } } : { fitView: true, fitViewOptions: { maxZoom: 1, padding: 0.04 } })}
            key={graph.nodes.length} minZoom={0.1} maxZoom={1.5} nodesConnectable={false} nodesDraggable={false} zoomOnScroll={false}
            preventScrolling={false} onlyRenderVisibleElements={drawn.nodes.length > 150} onNodeClick={(_, node) => onNode(node.id)}
            onPaneClick={() => onSelect(undefined)} aria-label={`Tasks of ${pipeline.pipeline}`}>
            <Controls showInteractive={false} orientation="horizontal" position="top-right" />
          </ReactFlow>
        )}
      </div>
      {selected !== undefined && <Why task={selected} pipeline={pipeline.pipeline} />}
    </>
  );
}

function Selected({ task, pipeline, onEnd }: { task: string; pipeline: Pipeline; onEnd: () => void }) {
  const node = pipeline.graph.find((one) => one.id === task);
  if (!node) return null;
  const below = pathOf(pipeline.graph, task).size - 1;
  return (
    <p className="graph-selected">
      <strong>{task}</strong> <span className="soft">{node.kind}, {counted(below, 'task')} on its path</span>
      {node.tables.map((table) => <Link key={table} to="/tables/$name" params={{ name: table }} search={{}}>{table}</Link>)}
      <button type="button" className="quiet" onClick={onEnd}>clear</button>
    </p>
  );
}

