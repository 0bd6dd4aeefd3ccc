// What the Kotlin example uses of Android's graphics, on the desktop's: enough to compile and run it without a phone.
package android.graphics

import java.awt.RenderingHints
import java.awt.image.BufferedImage
import java.io.File
import javax.imageio.ImageIO

class Paint

class Rect

class PointF(@JvmField val x: Float, @JvmField val y: Float)

class RectF(@JvmField val left: Float, @JvmField val top: Float, @JvmField val right: Float, @JvmField val bottom: Float) {
    fun width() = right - left

    fun height() = bottom - top
}

object Color {
    @JvmStatic
    fun rgb(red: Int, green: Int, blue: Int): Int = (255 shl 24) or (red shl 16) or (green shl 8) or blue
}

class Bitmap private constructor(internal val image: BufferedImage) {
    enum class Config { ARGB_8888 }

    val width get() = image.width
    val height get() = image.height

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        image.getRGB(x, y, width, height, pixels, offset, stride)
    }

    companion object {
        fun createBitmap(width: Int, height: Int, config: Config): Bitmap {
            check(config == Config.ARGB_8888)
            return Bitmap(BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB))
        }

        fun read(file: File) = Bitmap(ImageIO.read(file))
    }
}

class Canvas(private val bitmap: Bitmap) {
    private val graphics = bitmap.image.createGraphics().apply {
        setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR)
    }

    fun drawColor(color: Int) {
        graphics.color = java.awt.Color(color, true)
        graphics.fillRect(0, 0, bitmap.width, bitmap.height)
    }

    fun drawBitmap(picture: Bitmap, from: Rect?, to: RectF, paint: Paint?) {
        check(from == null && paint == null && to.left == 0f && to.top == 0f)
        graphics.drawImage(picture.image, 0, 0, Math.round(to.right), Math.round(to.bottom), null)
    }
}
