// LiteRT's interpreter as the Kotlin example calls it; what runs the file is LiteRT for Python, in run.py.
package org.tensorflow.lite

import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.File

class Interpreter(private val model: File) {
    fun runForMultipleInputsOutputs(inputs: Array<out Any>, outputs: Map<Int, Any>) {
        val process = ProcessBuilder(System.getProperty("python"), System.getProperty("run"), model.path)
            .redirectError(ProcessBuilder.Redirect.INHERIT).start()
        DataOutputStream(process.outputStream.buffered()).use { put(inputs.single(), it) }
        DataInputStream(process.inputStream.buffered()).use { for (i in outputs.keys.sorted()) take(outputs.getValue(i), it) }
        check(process.waitFor() == 0) { "the file did not run" }
    }
}

private fun put(values: Any, to: DataOutputStream) {
    if (values is FloatArray) values.forEach(to::writeFloat) else (values as Array<*>).forEach { put(it!!, to) }
}

private fun take(values: Any, from: DataInputStream) {
    if (values is FloatArray) for (i in values.indices) values[i] = from.readFloat()
    else (values as Array<*>).forEach { take(it!!, from) }
}
