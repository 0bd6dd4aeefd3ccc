    val strides = intArrayOf(@STRIDES@)
    val sizes = arrayOf(@KT_SIZES@)
    var p = 0
    for ((level, stride) in strides.withIndex())
        for (y in 0 until ROWS / stride) for (x in 0 until COLUMNS / stride) for (size in sizes[level]) {
            val d = boxes[0][p]
            val score = scores[0][p++]
            if (score < @SCORE@f) continue
            val cx = (x + .5f) * stride + d[0] * @CENTRE@f * size
            val cy = (y + .5f) * stride + d[1] * @CENTRE@f * size
            val w = size * exp(d[2] * @LOG_SIZE@f) / 2
            val h = size * exp(d[3] * @LOG_SIZE@f) / 2
            faces += Face(score, RectF(cx - w, cy - h, cx + w, cy + h))
        }
