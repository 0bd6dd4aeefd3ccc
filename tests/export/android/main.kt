// The example's faces of one picture, a line each: score, box, points.
import android.graphics.Bitmap
import java.io.File
import org.tensorflow.lite.Interpreter

fun main(arguments: Array<String>) {
    val (model, photo) = arguments.map(::File)
    for (face in detect(Interpreter(model), Bitmap.read(photo))) {
        val box = with(face.box) { listOf(left, top, right, bottom) }
        println((listOf(face.score) + box + face.points.flatMap { listOf(it.x, it.y) }).joinToString(" "))
    }
}
