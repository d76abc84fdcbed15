// The tests in a browser: one server and one browser for all of them, one file after the other.
import { defineConfig } from 'vitest/config';
import ByName from './tests/order';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    environment: 'node',
    globalSetup: ['tests/global.ts'],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    sequence: { sequencer: ByName },
  },
});
