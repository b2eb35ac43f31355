import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';
import type { Plugin } from 'vitest/config';
import { World } from './dev/world.ts';
import { handle } from './dev/mock.ts';

/** Answers the HTTP API from a simulated fleet while developing, unless BARTIZAN_URL names a real server. */
function mockApi(): Plugin {
  return {
    name: 'bartizan-mock',
    configureServer(server) {
      if (process.env.BARTIZAN_URL) return;
      const world = new World({ seed: 7 });
      setInterval(() => world.tick(), 1000).unref();
      server.middlewares.use((request, response, next) => {
        if (request.url?.startsWith('/api/')) void handle(world, request, response);
        else next();
      });
    },
  };
}

const real = process.env.BARTIZAN_URL;

export default defineConfig({
  plugins: [svelte(), mockApi()],
  server: real ? { proxy: { '/api': { target: real, secure: false, changeOrigin: true, headers: { origin: real } } } } : {},
  build: {
    target: 'es2022',
    // The server's Content-Security-Policy is `default-src 'self'`: nothing may become a data: URL.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  test: {
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // One browser at a time: the tests wait for things to happen, not for each other.
          fileParallelism: false,
        },
      },
    ],
  },
});
