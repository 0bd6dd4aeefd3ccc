    for p in scores.indices where scores[p] >= @SCORE@ {
        faces.append(Face(score: scores[p], x1: boxes[4 * p], y1: boxes[4 * p + 1], x2: boxes[4 * p + 2], y2: boxes[4 * p + 3]))
    }
