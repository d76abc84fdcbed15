// Where the nodes of a graph go: ELK's layered layout, computed in a worker.

import ELK from 'elkjs/lib/elk-api';
import workerUrl from 'elkjs/lib/elk-worker.min.js?url';
import type { ElkNode } from 'elkjs/lib/elk-api';
import type { Folded } from '../../model/graph';

export interface Corner {
  x: number;
  y: number;
}

export interface Placed {
  nodes: { id: string; x: number; y: number; width: number; height: number }[];
  /** The bends of each edge, from its begin to its end. */
  edges: ReadonlyMap<string, readonly Corner[]>;
  width: number;
  height: number;
}

export const NODE_HEIGHT = 46;
const MOST_WIDTH = 300;

/** Wide enough for the name, in the font of the nodes. */
export function nodeWidth(name: string): number {
  return Math.min(MOST_WIDTH, Math.max(132, 44 + name.length * 7.4));
}

let elk: InstanceType<typeof ELK> | undefined;
const known = new Map<string, Placed>();

/** The same graph is placed once. */
export function placedBefore(key: string): Placed | undefined {
  return known.get(key);
}

export async function place(key: string, graph: Folded, names: ReadonlyMap<string, string>): Promise<Placed> {
  elk ??= new ELK({ workerUrl });
  const found: ElkNode = await elk.layout({
    id: 'root',
    layoutOptions: {
      'elk.algorithm': 'layered',
      'elk.direction': 'RIGHT',
      'elk.edgeRouting': 'ORTHOGONAL',
      'elk.layered.layering.strategy': 'LONGEST_PATH_SOURCE',
      'elk.layered.spacing.nodeNodeBetweenLayers': '36',
      'elk.layered.spacing.edgeNodeBetweenLayers': '14',
      'elk.layered.spacing.edgeEdgeBetweenLayers': '8',
      'elk.spacing.nodeNode': '14',
      'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
      'elk.padding': '[top=0,left=0,bottom=0,right=0]',
      'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
    },
    children: graph.nodes.map((node) => ({ id: node.id, width: nodeWidth(names.get(node.id) ?? node.id), height: NODE_HEIGHT })),
    edges: graph.edges.map((edge) => ({ id: `${edge.from}>${edge.to}`, sources: [edge.from], targets: [edge.to] })),
  });
  const nodes = (found.children ?? []).map(({ id, x = 0, y = 0, width = 0, height = 0 }) => ({ id, x, y, width, height }));
  const edges = new Map((found.edges ?? []).map((edge) => {
    const corners = (edge.sections ?? []).flatMap((one) => [one.startPoint, ...(one.bendPoints ?? []), one.endPoint]);
    return [edge.id, corners] as const;
  }));
  const placed = { nodes, edges, width: found.width ?? 0, height: found.height ?? 0 };
  known.set(key, placed);
  return placed;
}

const ROUND = 6;

/** The path along the corners, each of them a little round. */
export function pathAlong(corners: readonly Corner[]): string {
  const [first, ...rest] = corners;
  if (!first) return '';
  let path = `M${first.x},${first.y}`;
  for (const [index, corner] of rest.entries()) {
    const before = corners[index] ?? corner;
    const after = rest[index + 1];
    if (!after) {
      path += `L${corner.x},${corner.y}`;
      continue;
    }
    const near = (other: Corner): Corner => {
      const length = Math.hypot(other.x - corner.x, other.y - corner.y);
      const share = length === 0 ? 0 : Math.min(ROUND, length / 2) / length;
      return { x: corner.x + (other.x - corner.x) * share, y: corner.y + (other.y - corner.y) * share };
    };
    const [begin, end] = [near(before), near(after)];
    path += `L${begin.x},${begin.y}Q${corner.x},${corner.y} ${end.x},${end.y}`;
  }
  return path;
}
