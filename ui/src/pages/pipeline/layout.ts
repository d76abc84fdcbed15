// Where the nodes of a graph go: ELK's layered layout, computed in a worker.

import ELK from 'elkjs/lib/elk-api';
import workerUrl from 'elkjs/lib/elk-worker.min.js?url';
import type { ElkNode } from 'elkjs/lib/elk-api';
import type { Folded } from '../../model/graph';

export interface Placed {
  nodes: { id: string; x: number; y: number; width: number; height: number }[];
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
      'elk.layered.spacing.nodeNodeBetweenLayers': '56',
      'elk.spacing.nodeNode': '14',
      'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
      'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
    },
    children: graph.nodes.map((node) => ({ id: node.id, width: nodeWidth(names.get(node.id) ?? node.id), height: NODE_HEIGHT })),
    edges: graph.edges.map((edge) => ({ id: `${edge.from}>${edge.to}`, sources: [edge.from], targets: [edge.to] })),
  });
  const nodes = (found.children ?? []).map(({ id, x = 0, y = 0, width = 0, height = 0 }) => ({ id, x, y, width, height }));
  const placed = { nodes, width: found.width ?? 0, height: found.height ?? 0 };
  known.set(key, placed);
  return placed;
}
