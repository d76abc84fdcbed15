// Lineage between columns, put together for reading: for each table of one side its columns, and what each touches.

import type { Schemas } from '../api/client';

type Edge = Schemas['Lineage']['edges'][number];

export interface LineageColumn {
  column: string;
  /** The columns of the subject that it touches. */
  touches: readonly { column: string; influence: string }[];
}

export interface LineageTable {
  table: string;
  /** How many tables lie between, 0 for a neighbour. */
  distance: number;
  columns: readonly LineageColumn[];
}

/** The tables up or down from a table, the nearest first. Columns are those of neighbours only. */
export function lineageTables(edges: readonly Edge[], subject: string, direction: 'up' | 'down'): LineageTable[] {
  const near = direction === 'up' ? ('to' as const) : ('from' as const);
  const far = direction === 'up' ? ('from' as const) : ('to' as const);
  const next = new Map<string, Set<string>>();
  for (const edge of edges) {
    const from = edge[near].table;
    next.set(from, (next.get(from) ?? new Set()).add(edge[far].table));
  }
  const distance = new Map<string, number>([[subject, -1]]);
  const waiting = [subject];
  for (let at = waiting.shift(); at !== undefined; at = waiting.shift()) {
    for (const table of next.get(at) ?? []) {
      if (distance.has(table)) continue;
      distance.set(table, (distance.get(at) ?? 0) + 1);
      waiting.push(table);
    }
  }
  distance.delete(subject);
  const columnsOf = (table: string): LineageColumn[] => {
    const touched = new Map<string, { column: string; influence: string }[]>();
    for (const edge of edges) {
      if (edge[near].table !== subject || edge[far].table !== table) continue;
      const column = edge[far].column;
      touched.set(column, [...(touched.get(column) ?? []), { column: edge[near].column, influence: edge.influence }]);
    }
    return [...touched].map(([column, touches]) => ({ column, touches })).sort((a, b) => a.column.localeCompare(b.column));
  };
  return [...distance]
    .map(([table, far]) => ({ table, distance: far, columns: columnsOf(table) }))
    .sort((a, b) => a.distance - b.distance || a.table.localeCompare(b.table));
}
