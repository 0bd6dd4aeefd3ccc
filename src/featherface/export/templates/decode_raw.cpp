    // Priors by level, row by row, small before large; P in all.
    const int strides[] = {@STRIDES@}, sizes[][2] = {@SIZES@};
    const float centre = @CENTRE@f, log_size = @LOG_SIZE@f;
    size_t p = 0;
    for (int level = 0; level < 3; ++level)
        for (int y = 0; y < rows / strides[level]; ++y)
            for (int x = 0; x < columns / strides[level]; ++x)
                for (int size : sizes[level]) {
                    const float *box = boxes + 4 * p, *points = landmarks + 10 * p, score = scores[p++];
                    if (score < @SCORE@f) continue;
                    float px = (x + .5f) * strides[level], py = (y + .5f) * strides[level];
                    float cx = px + box[0] * centre * size, cy = py + box[1] * centre * size;
                    float w = size * std::exp(box[2] * log_size), h = size * std::exp(box[3] * log_size);
                    Face face{score, cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, {}};
                    for (int i = 0; i < 10; ++i) face.points[i] = (i % 2 ? py : px) + points[i] * centre * size;
                    faces.push_back(face);
                }
