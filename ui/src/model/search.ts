// Finds things by the words that somebody types.

export interface Found {
  kind: 'pipeline' | 'table' | 'run' | 'page';
  name: string;
}

/** How well a name fits; smaller is better, undefined is not at all. */
function rank(name: string, words: readonly string[]): number | undefined {
  const lower = name.toLowerCase();
  let sum = 0;
  for (const word of words) {
    const at = lower.indexOf(word);
    if (at < 0) return undefined;
    // Whole names first, then beginnings of parts, then the rest.
    const isPart = at === 0 || /[^a-z0-9]/.test(lower[at - 1] ?? '');
    sum += lower === word ? 0 : isPart ? 1 + at / 1000 : 2 + at / 1000;
  }
  return sum + lower.length / 10_000;
}

/** The best fits. Without words: the first ones. `shop#212` finds that run also when it is not in the list. */
export function find(all: readonly Found[], text: string, most: number): Found[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const ranked = all.flatMap((one) => {
    const found = rank(one.name, words);
    return found === undefined ? [] : [{ one, found }];
  });
  ranked.sort((a, b) => a.found - b.found);
  const best = ranked.slice(0, most).map(({ one }) => one);
  const run = /^\s*([^\s#]+#\d+)\s*$/.exec(text)?.[1];
  if (run !== undefined && !best.some((one) => one.kind === 'run' && one.name === run)) {
    const named: Found = { kind: 'run', name: run };
    return [named, ...best].slice(0, most);
  }
  return best;
}
