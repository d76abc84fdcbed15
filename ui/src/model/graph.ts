// The graph of a pipeline: which nodes are on the path of a node, and how it looks when steps are folded.

export interface GraphTask {
  id: string;
  step: string;
  after: readonly string[];
}

/** All that a node depends on and all that depends on it, with itself. */
export function pathOf(tasks: readonly GraphTask[], id: string): Set<string> {
  const up = new Map(tasks.map((task) => [task.id, task.after]));
  const down = new Map<string, string[]>();
  for (const task of tasks) for (const from of task.after) down.set(from, [...(down.get(from) ?? []), task.id]);
  const found = new Set([id]);
  const walk = (edges: Map<string, readonly string[]>) => {
    const waiting = [id];
    const seen = new Set(waiting);
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      for (const next of edges.get(at) ?? []) {
        if (seen.has(next)) continue;
        seen.add(next);
        found.add(next);
        waiting.push(next);
      }
    }
  };
  walk(up);
  walk(down);
  return found;
}

export interface FoldedNode {
  id: string;
  /** The tasks that it stands for: one, or all of a folded step. */
  tasks: readonly string[];
  step: string;
  isStep: boolean;
}

export interface Folded {
  nodes: FoldedNode[];
  edges: { from: string; to: string }[];
}

/** The node of a folded step. */
export const stepId = (step: string) => `step:${step}`;

/** The graph with each folded step as one node. A step of one task is never folded. */
export function fold(tasks: readonly GraphTask[], folded: ReadonlySet<string>): Folded {
  const bySteps = new Map<string, string[]>();
  for (const task of tasks) bySteps.set(task.step, [...(bySteps.get(task.step) ?? []), task.id]);
  const isFolded = (step: string) => folded.has(step) && (bySteps.get(step)?.length ?? 0) > 1;
  const nodeOf = new Map(tasks.map((task) => [task.id, isFolded(task.step) ? stepId(task.step) : task.id]));
  const nodes = new Map<string, FoldedNode>();
  const edges = new Map<string, { from: string; to: string }>();
  for (const task of tasks) {
    const id = nodeOf.get(task.id) ?? task.id;
    const isStep = id !== task.id;
    nodes.set(id, { id, step: task.step, isStep, tasks: isStep ? (bySteps.get(task.step) ?? []) : [task.id] });
    for (const before of task.after) {
      const from = nodeOf.get(before);
      if (from !== undefined && from !== id) edges.set(`${from}\n${id}`, { from, to: id });
    }
  }
  const all = [...edges.values()];
  const hasSteps = [...nodes.values()].some((node) => node.isStep);
  return { nodes: [...nodes.values()], edges: hasSteps ? withoutImplied(all) : all };
}

type GraphEdge = Folded['edges'][number];

/** The edges without those that a longer path says, too: a folded step has so many. What was connected stays so. */
export function withoutImplied(edges: readonly GraphEdge[]): GraphEdge[] {
  const next = new Map<string, Set<string>>();
  for (const { from, to } of edges) next.set(from, (next.get(from) ?? new Set()).add(to));
  const reaches = (from: string, to: string): boolean => {
    const seen = new Set([from]);
    const waiting = [from];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      for (const one of next.get(at) ?? []) {
        if (one === to) return true;
        if (seen.has(one)) continue;
        seen.add(one);
        waiting.push(one);
      }
    }
    return false;
  };
  return edges.filter(({ from, to }) => {
    next.get(from)?.delete(to);
    const isImplied = reaches(from, to);
    if (!isImplied) next.get(from)?.add(to);
    return !isImplied;
  });
}

/** The most tasks that are shown one by one at first. */
export const MOST_UNFOLDED = 60;

/** The steps that are folded at first: in a large graph all that have more than a few tasks. */
export function foldedAtFirst(tasks: readonly GraphTask[]): Set<string> {
  if (tasks.length <= MOST_UNFOLDED) return new Set();
  const counts = new Map<string, number>();
  for (const task of tasks) counts.set(task.step, (counts.get(task.step) ?? 0) + 1);
  return new Set([...counts].filter(([, found]) => found > 8).map(([step]) => step));
}

/** The tasks in an order in which each comes behind what it depends on, steps together where that allows it. */
export function ordered<T extends GraphTask>(tasks: readonly T[]): T[] {
  const rank = new Map<string, number>();
  const byId = new Map(tasks.map((task) => [task.id, task]));
  const depth = (id: string, path: ReadonlySet<string>): number => {
    const known = rank.get(id);
    if (known !== undefined) return known;
    if (path.has(id)) return 0;
    const before = byId.get(id)?.after ?? [];
    const inner = new Set(path).add(id);
    const found = before.reduce((most, one) => Math.max(most, depth(one, inner) + 1), 0);
    rank.set(id, found);
    return found;
  };
  const steps = new Map<string, number>();
  for (const task of tasks) steps.set(task.step, Math.min(steps.get(task.step) ?? Infinity, depth(task.id, new Set())));
  const place = (task: T) => [steps.get(task.step) ?? 0, depth(task.id, new Set())] as const;
  return [...tasks].sort((a, b) => {
    const [stepA, depthA] = place(a);
    const [stepB, depthB] = place(b);
    return stepA - stepB || a.step.localeCompare(b.step) || depthA - depthB || a.id.localeCompare(b.id);
  });
}
