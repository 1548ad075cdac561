import { defineConfig } from 'vite';

/** Where `npm run dev` finds a running gateway. */
const gateway = 'http://127.0.0.1:8088';

export default defineConfig({
  // Relative addresses: the page then works under any base path, also behind a proxy.
  base: './',
  server: {
    proxy: { '/api': { target: gateway, ws: true }, '/health': { target: gateway } },
  },
  build: {
    outDir: '../static',
    emptyOutDir: true,
    target: 'es2022',
    // The page is served under a strict Content-Security-Policy: nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
