import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { defineConfig, type Plugin } from 'vite'
import { VitePWA } from 'vite-plugin-pwa'

/** The faces: each has an entry of its own, `<face>/index.html`, and is served under `/<face>/`. */
const FACES = ['m', 'console']

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** The phone library names a foreign host as second source of its icon font; our pages load nothing from elsewhere. */
const noForeignFonts: Plugin = {
  name: 'no-foreign-fonts',
  enforce: 'pre',
  transform(code, id) {
    return id.includes('.css') ? code.replace(/,\s*url\(["']?(https?:)?\/\/[^)]*\)\s*format\([^)]*\)/g, '') : undefined
  },
}

export default defineConfig({
  resolve: { alias: { '@': here('src') } },
  plugins: [
    noForeignFonts,
    vue(),
    VitePWA({
      strategies: 'generateSW',
      filename: 'm/sw.js',
      scope: '/m/',
      injectRegister: false,
      manifest: false, // it stands in public/, for it changes rarely
      workbox: {
        // The phone's page alone works without a connection; the consoles are for desks.
        globPatterns: ['m/**/*.{html,js,css,svg,png,webmanifest}', 'assets/**/*.{js,css,woff2}'],
        globIgnores: ['**/console-*', 'assets/echarts-*'],
        modifyURLPrefix: { '': '/' },
        navigateFallback: '/m/index.html',
        navigateFallbackAllowlist: [/^\/m\//],
        cleanupOutdatedCaches: true,
        clientsClaim: true,
        skipWaiting: false,
        runtimeCaching: [],
      },
    }),
  ],
  build: {
    target: 'es2020',
    // No script or style may stand in a page, and no small file inside another.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      input: Object.fromEntries(
        FACES.map((face) => [face, here(`${face}/index.html`)]).filter(([, path]) => existsSync(path as string)),
      ),
    },
  },
  define: {
    __VUE_OPTIONS_API__: true, // the component libraries use it
    __VUE_PROD_DEVTOOLS__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __VUE_I18N_LEGACY_API__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
  },
  server: { proxy: { '/api': process.env.GATEWAY ?? 'http://127.0.0.1:8080' } },
})
