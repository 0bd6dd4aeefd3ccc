    val strides = intArrayOf(@STRIDES@)
    val sizes = arrayOf(@KT_SIZES@)
    var next = 0
    for ((level, stride) in strides.withIndex())
        for (y in 0 until ROWS / stride) for (x in 0 until COLUMNS / stride) for (size in sizes[level]) {
            val p = next++
            val score = scores[0][p]
            if (score < @SCORE@f) continue
            val d = boxes[0][p]
            val px = (x + .5f) * stride
            val py = (y + .5f) * stride
            val step = @CENTRE@f * size
            val cx = px + d[0] * step
            val cy = py + d[1] * step
            val w = size * exp(d[2] * @LOG_SIZE@f) / 2
            val h = size * exp(d[3] * @LOG_SIZE@f) / 2
            val points = List(5) { PointF(px + landmarks[0][p][2 * it] * step, py + landmarks[0][p][2 * it + 1] * step) }
            faces += Face(score, RectF(cx - w, cy - h, cx + w, cy + h), points)
        }
