// How the UI is built, and served while it is developed. The server of the API is `towpath serve` on its usual port.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const API = process.env['TOWPATH_API'] ?? 'http://127.0.0.1:7450';

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    // Everything is a file of its own: the content security policy allows no `data:` and no inline text.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  server: {
    port: 5173,
    // The server answers only to its own pages, so the origin is changed as well.
    proxy: { '/api': { target: API, changeOrigin: true, headers: { origin: API } } },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
