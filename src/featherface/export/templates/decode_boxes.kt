    for (p in scores[0].indices) if (scores[0][p] >= @SCORE@f) {
        val (x1, y1, x2, y2) = boxes[0][p]
        val points = List(5) { PointF(landmarks[0][p][2 * it], landmarks[0][p][2 * it + 1]) }
        faces += Face(scores[0][p], RectF(x1, y1, x2, y2), points)
    }
