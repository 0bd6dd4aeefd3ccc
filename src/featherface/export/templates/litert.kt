// Faces in a picture on Android, with LiteRT. RGB 0-255 goes in; normalisation is in the network.
// implementation("com.google.ai.edge.litert:litert:1.4.0"); put @MODEL@ into assets.
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.PointF
import android.graphics.RectF
import kotlin.math.exp
import kotlin.math.max
import kotlin.math.min
import org.tensorflow.lite.Interpreter

const val ROWS = @HEIGHT@
const val COLUMNS = @WIDTH@

/** Points: both eyes, the nose, both corners of the mouth; left to right as the picture shows them. */
data class Face(val score: Float, val box: RectF, val points: List<PointF>)

/** Faces in the pixels of the picture, best first. */
fun detect(interpreter: Interpreter, picture: Bitmap): List<Face> {
    val shrink = min(1f, min(ROWS.toFloat() / picture.height, COLUMNS.toFloat() / picture.width))
    val padded = Bitmap.createBitmap(COLUMNS, ROWS, Bitmap.Config.ARGB_8888)
    Canvas(padded).apply {
        drawColor(Color.rgb(123, 117, 104))
        drawBitmap(picture, null, RectF(0f, 0f, picture.width * shrink, picture.height * shrink), null)
    }
    val pixels = IntArray(ROWS * COLUMNS).also { padded.getPixels(it, 0, COLUMNS, 0, 0, COLUMNS, ROWS) }
    val planes = Array(3) { c -> Array(ROWS) { y -> FloatArray(COLUMNS) { x ->
        ((pixels[y * COLUMNS + x] shr (16 - 8 * c)) and 255).toFloat()
    } } }
    val scores = Array(1) { FloatArray(@PRIORS@) }
    val boxes = Array(1) { Array(@PRIORS@) { FloatArray(4) } }
    val landmarks = Array(1) { Array(@PRIORS@) { FloatArray(10) } }
    interpreter.runForMultipleInputsOutputs(arrayOf(arrayOf(planes)), mapOf(0 to scores, 1 to boxes, 2 to landmarks))

    val faces = mutableListOf<Face>()
@DECODE@
    val kept = mutableListOf<Face>()
    for (face in faces.sortedByDescending { it.score })
        if (kept.none { overlap(face.box, it.box) > @IOU@f }) kept += face
    return kept.map { face ->
        val box = face.box
        Face(
            face.score,
            RectF(box.left / shrink, box.top / shrink, box.right / shrink, box.bottom / shrink),
            face.points.map { PointF(it.x / shrink, it.y / shrink) }
        )
    }
}

fun overlap(a: RectF, b: RectF): Float {
    val both = max(0f, min(a.right, b.right) - max(a.left, b.left)) * max(0f, min(a.bottom, b.bottom) - max(a.top, b.top))
    return both / (a.width() * a.height() + b.width() * b.height() - both)
}
