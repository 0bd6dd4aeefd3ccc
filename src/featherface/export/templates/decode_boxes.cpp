    const size_t priors = @PRIORS@;
    for (size_t p = 0; p < priors; ++p) {
        if (scores[p] < @SCORE@f) continue;
        const float* box = boxes + 4 * p;
        Face face{scores[p], box[0], box[1], box[2], box[3], {}};
        std::copy_n(landmarks + 10 * p, 10, face.points);
        faces.push_back(face);
    }
