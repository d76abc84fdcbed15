// A table: columns that sort, rows that are links. On a phone each row is an entry of a list.

import { useState, type ReactNode } from 'react';
import {
  flexRender, getCoreRowModel, getSortedRowModel, useReactTable, type ColumnDef, type SortingState,
} from '@tanstack/react-table';

export interface Column<T> {
  id: string;
  title: string;
  cell: (row: T) => ReactNode;
  /** What the column sorts by; without it the column does not sort. */
  by?: (row: T) => string | number | null | undefined;
  isNumber?: boolean;
  /** The column that names the row. */
  isMain?: boolean;
}

interface DataTableProps<T> {
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string;
  /** Shown under a row, over the whole width. */
  detail?: (row: T) => ReactNode;
}

function columnsOf<T>(columns: readonly Column<T>[]): ColumnDef<T>[] {
  return columns.map((column) => ({
    id: column.id,
    header: column.title,
    cell: ({ row }) => column.cell(row.original),
    ...(column.by ? { accessorFn: (row: T) => column.by?.(row) ?? undefined } : {}),
    enableSorting: column.by !== undefined,
    sortUndefined: 'last' as const,
  }));
}

function SortSign({ sorted }: { sorted: false | 'asc' | 'desc' }) {
  return <span className="sort-sign" aria-hidden="true">{sorted === 'asc' ? '↑' : sorted === 'desc' ? '↓' : ''}</span>;
}

const ARIA = { asc: 'ascending', desc: 'descending' } as const;

export function DataTable<T>({ label, columns, rows, rowKey, detail }: DataTableProps<T>) {
  const [sorting, setSorting] = useState<SortingState>([]);
  const table = useReactTable({
    data: rows as T[],
    columns: columnsOf(columns),
    state: { sorting },
    onSortingChange: setSorting,
    getCoreRowModel: getCoreRowModel(),
    getSortedRowModel: getSortedRowModel(),
    getRowId: rowKey,
  });
  const of = (id: string) => columns.find((column) => column.id === id);
  const className = (id: string) => [of(id)?.isNumber && 'is-number', of(id)?.isMain && 'is-main'].filter(Boolean).join(' ');
  return (
    <table className="table" aria-label={label} role="table">
      <thead role="rowgroup">
        {table.getHeaderGroups().map((group) => (
          <tr key={group.id} role="row">
            {group.headers.map((header) => {
              const sorted = header.column.getIsSorted();
              return (
                <th key={header.id} role="columnheader" scope="col" className={className(header.column.id)}
                  {...(sorted ? { 'aria-sort': ARIA[sorted] } : {})}>
                  {header.column.getCanSort() ? (
                    <button type="button" className="sort" onClick={header.column.getToggleSortingHandler()}>
                      {of(header.column.id)?.isNumber && <SortSign sorted={sorted} />}
                      {of(header.column.id)?.title}
                      {!of(header.column.id)?.isNumber && <SortSign sorted={sorted} />}
                    </button>
                  ) : of(header.column.id)?.title}
                </th>
              );
            })}
          </tr>
        ))}
      </thead>
      <tbody role="rowgroup">
        {table.getRowModel().rows.map((row) => {
          const below = detail?.(row.original);
          const cells = row.getVisibleCells().map((cell) => (
            <td key={cell.id} role="cell" className={className(cell.column.id)} data-label={of(cell.column.id)?.title}>
              {flexRender(cell.column.columnDef.cell, cell.getContext())}
            </td>
          ));
          const main = <tr key={row.id} role="row" className={below ? 'row has-detail' : 'row'}>{cells}</tr>;
          if (!below) return main;
          const under = <tr key={`${row.id} detail`} role="row" className="detail"><td role="cell" colSpan={cells.length}>{below}</td></tr>;
          return [main, under];
        })}
      </tbody>
    </table>
  );
}
