/** 适老版: large print and large targets, kept on the device. */
import { ref } from 'vue'

const KEPT = 'daibiaotong.large'

export const large = ref(localStorage.getItem(KEPT) === 'yes')

export function setLarge(on: boolean): void {
  large.value = on
  localStorage.setItem(KEPT, on ? 'yes' : 'no')
  document.documentElement.classList.toggle('large', on)
}
setLarge(large.value)
