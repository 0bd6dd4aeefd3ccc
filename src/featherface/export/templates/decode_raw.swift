    let strides = [@STRIDES@], sizes: [[Float]] = [@SWIFT_SIZES@]
    var p = 0
    for (level, stride) in strides.enumerated() {
        for y in 0..<(rows / stride) { for x in 0..<(columns / stride) { for size in sizes[level] {
            defer { p += 1 }
            guard scores[p] >= @SCORE@ else { continue }
            let px = (Float(x) + 0.5) * Float(stride), py = (Float(y) + 0.5) * Float(stride)
            let step: Float = @CENTRE@ * size
            let cx = px + boxes[4 * p] * step, cy = py + boxes[4 * p + 1] * step
            let w = size * exp(boxes[4 * p + 2] * @LOG_SIZE@) / 2, h = size * exp(boxes[4 * p + 3] * @LOG_SIZE@) / 2
            let first = 10 * p
            let points = (0..<5).map { i in
                Point(x: px + landmarks[first + 2 * i] * step, y: py + landmarks[first + 2 * i + 1] * step)
            }
            faces.append(Face(score: scores[p], x1: cx - w, y1: cy - h, x2: cx + w, y2: cy + h, points: points))
        } } }
    }
