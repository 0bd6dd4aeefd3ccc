    for p in scores.indices where scores[p] >= @SCORE@ {
        let points = (0..<5).map { Point(x: landmarks[10 * p + 2 * $0], y: landmarks[10 * p + 2 * $0 + 1]) }
        faces.append(Face(score: scores[p], x1: boxes[4 * p], y1: boxes[4 * p + 1], x2: boxes[4 * p + 2],
                          y2: boxes[4 * p + 3], points: points))
    }
