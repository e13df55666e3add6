import { defineConfig } from 'vite';

// base './' lets the page live under any path; the proxy serves `npm run dev` beside a running server.
export default defineConfig({
  base: './',
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2022' },
  server: { proxy: { '/api': 'http://127.0.0.1:8080', '/prometheus': 'http://127.0.0.1:8080' } },
});
