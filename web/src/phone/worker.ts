/** The service worker: it lets the pages open without a connection, and brings new versions when people agree. */
import { ref } from 'vue'

export const updateReady = ref(false)
let next: ServiceWorker | null = null

export function watchForUpdates(): void {
  if (!('serviceWorker' in navigator) || import.meta.env.DEV) return
  void navigator.serviceWorker.register('/m/sw.js', { scope: '/m/' }).then((registration) => {
    const offer = (worker: ServiceWorker | null): void => {
      // The first worker has nobody to replace.
      if (worker === null || navigator.serviceWorker.controller === null) return
      next = worker
      updateReady.value = true
    }
    offer(registration.waiting)
    registration.addEventListener('updatefound', () => {
      const worker = registration.installing
      worker?.addEventListener('statechange', () => worker.state === 'installed' && offer(worker))
    })
  })
}

/** Let the new version take over, and load its pages. */
export function applyUpdate(): void {
  navigator.serviceWorker.addEventListener('controllerchange', () => location.reload())
  next?.postMessage({ type: 'SKIP_WAITING' })
}
