    let strides = [@STRIDES@], sizes: [[Float]] = [@SWIFT_SIZES@]
    var p = 0
    for (level, stride) in strides.enumerated() {
        for y in 0..<(rows / stride) { for x in 0..<(columns / stride) { for size in sizes[level] {
            defer { p += 1 }
            guard scores[p] >= @SCORE@ else { continue }
            let cx = (Float(x) + 0.5) * Float(stride) + boxes[4 * p] * @CENTRE@ * size
            let cy = (Float(y) + 0.5) * Float(stride) + boxes[4 * p + 1] * @CENTRE@ * size
            let w = size * exp(boxes[4 * p + 2] * @LOG_SIZE@) / 2, h = size * exp(boxes[4 * p + 3] * @LOG_SIZE@) / 2
            faces.append(Face(score: scores[p], x1: cx - w, y1: cy - h, x2: cx + w, y2: cy + h))
        } } }
    }
