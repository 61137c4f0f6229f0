/** QR codes, drawn so that they can be read from a screen and printed. */
import qrcode from 'qrcode-generator'
import { colourOf } from './colours'

const MODULE = 10
const MARGIN = 4
const WHITE = '#fff'

/**
 * Make a canvas the QR code of a text, its quiet zone included, under `head` pixels left white for what stands over
 * it. Gives the side in pixels.
 */
export function drawQr(canvas: HTMLCanvasElement, text: string, head = 0): number {
  const code = qrcode(0, 'M')
  code.addData(text)
  code.make()
  const count = code.getModuleCount()
  const side = (count + 2 * MARGIN) * MODULE
  canvas.width = side
  canvas.height = side + head
  const context = canvas.getContext('2d')
  if (context === null) return side
  context.fillStyle = WHITE
  context.fillRect(0, 0, side, side + head)
  context.fillStyle = colourOf('ink')
  for (let row = 0; row < count; row++)
    for (let column = 0; column < count; column++)
      if (code.isDark(row, column)) context.fillRect((column + MARGIN) * MODULE, head + (row + MARGIN) * MODULE, MODULE, MODULE)
  return side
}
