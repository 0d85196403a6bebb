"""Findings of belly, pregnancy, infection, metabolism, injury, mind and safety, in clinical and everyday words.

One finding a key, its phrases separated by semicolons; `gazal.redflags.phrases` has the signs.
"""

from __future__ import annotations

from gazal.redflags.words_acute import CANNOT, SUDDEN

BELLY = {
    "haematemesis": "ha?ematemesis; (vomited|vomiting|vomits|threw up|throwing up|bringing up|brought up"
    "|sicking up|coughing and vomiting) ~ blood; blood ~ (vomit|vomited); (vomit|vomiting"
    "|vomited) ~ (blood|coffee ground|coffee grounds); coffee ground [vomit|vomiting"
    "|vomitus]; coffee grounds",
    "melaena": "mela?ena; (black|tarry) ~ (stool|stools|poo|motions|faeces|feces|bowel motions); (stool"
    "|stools|poo|motions) ~ (tarry|like tar|jet black|pitch black|black and sticky)",
    "major_rectal_bleed": "(large|heavy|massive|lots|profuse|torrential|significant|huge) ~ (blood|bleeding"
    "|haematochezia|hematochezia) ~ (rectum|rectal|back passage|bottom|stool|stools|bowel"
    "|clots); (large|heavy|massive|profuse|brisk) ~ (rectal bleeding|rectal bleed"
    "|haematochezia|hematochezia|lower gi bleed); (blood|bleeding) ~ clots ~ (rectum|back "
    "passage|bottom|bowel); (toilet|pan|bowl) ~ full of blood",
    "rectal_bleed": "rectal bleed*; ha?ematochezia; blood ~ (back passage|rectum|stool|stools|bottom); pr "
    "bleed*; bleeding ~ (rectum|back passage|bottom); maroon stool*",
    "gi_bleed_named": "(upper|lower|acute|active|variceal) (gi|gastrointestinal|gastro intestinal) (bleed"
    "|bleeding|haemorrhage|hemorrhage); variceal (bleed|bleeding|haemorrhage|hemorrhage); "
    "bleeding (ulcer|varices|duodenal ulcer|gastric ulcer)",
    "dizzy": "dizzy; dizziness; lightheaded; light headed; feels faint; faint; fainted; collapsed; "
    "syncope; passed out; woozy",
    "anticoagulant": "warfarin; apixaban; rivaroxaban; edoxaban; dabigatran; heparin; enoxaparin; dalteparin; "
    "doac; noac; anticoagula*; blood thinner; blood thinners; acenocoumarol; phenprocoumon; "
    "coumadin; eliquis; xarelto; clopidogrel; ticagrelor; prasugrel",
    "severe_belly_pain": f"(severe|agonising|unbearable|excruciating|intense|{SUDDEN[1:-1]}) ~ (abdominal|belly"
    "|tummy|stomach|abdomen) ~ pain; (severe|agonising|unbearable|excruciating) ~ (abdominal"
    "|belly|tummy|stomach|abdomen|pain all over); pain all over ~ (tummy|abdomen|belly"
    "|stomach); (abdominal|belly|tummy|stomach) pain ~ (severe|agonising|unbearable"
    f"|excruciating|worst|{SUDDEN[1:-1]})",
    "peritonism": "peritoni*; (rigid|board like|rock hard|hard as a board) ~ (abdomen|belly|tummy|stomach); "
    "(abdomen|belly|tummy|stomach) ~ (rigid|board like|rock hard); guarding; rebound "
    "[tenderness]; (hurts|painful|pain) ~ to (move|cough); rovsing*",
    "free_air": "free (air|gas|intraperitoneal air); air under ~ diaphragm; pneumoperitoneum; perforat* ~ "
    "(ulcer|bowel|viscus|appendix|diverticul*|colon); (bowel|gastric|colonic|intestinal) "
    "perforation; perforated (ulcer|bowel|viscus|appendix|diverticul*|colon)",
    "obstruction": "(bowel|intestinal|small bowel|large bowel) obstruction; obstructed (bowel|hernia); "
    "strangulated hernia; incarcerated hernia; irreducible ~ hernia; ileus; volvulus; "
    "intussusception; dilated (loops|bowel); air fluid levels",
    "bilious_vomit": "(bilious|bile stained|green|faeculent|feculent|faecal|bright green) ~ (vomit|vomiting"
    "|vomited|vomits); vomiting ~ (bile|faeculent|feculent|green|faecal); vomited ~ (bile"
    "|green)",
    "no_passage": "(no|not passing|not passed|cannot pass|hasn't passed|absolute) ~ (wind|flatus|stool"
    "|constipation|gas|motion) ; (not|hasn't|no) ~ (opened her bowels|opened his bowels"
    "|opened bowels|opened my bowels|bowel movement|bowels open) ~ days; obstipation; (bowels "
    "not open|bowels haven't moved|bowels have not moved); absolute constipation",
    "distension": "(distended|swollen|bloated|distension|blown up) ~ (abdomen|belly|tummy|stomach); "
    "(abdomen|belly|tummy|stomach|abdominal) ~ (distended|distension|swollen|blown up); "
    "distension; absent bowel sounds; tinkling bowel sounds",
    "ischaemic_gut": "mesenteric (ischaemia|ischemia|infarction); (draws|drawing|pulls|pulling) [up] [his|her] "
    "(legs|knees) [up]; (ischaemic|ischemic|dead|necrotic) bowel; redcurrant jelly; red "
    "currant jelly",
    "testicular_pain": "(pain|painful|hurt|hurts|hurting|agony|tender) ~ (testicle|testicles|testis|scrotum"
    "|scrotal|ball|balls|groin and testicle); (testicle|testicles|testis|scrotal|scrotum|ball"
    "|balls) ~ (pain|painful|hurt|hurts|hurting|agony|tender|killing)",
    "torsion_onset": f"{SUDDEN} ~ (testicle|testicles|testis|scrotal|scrotum|ball|balls); (testicle|testicles"
    f"|testis|scrotal|scrotum|ball|balls) ~ {SUDDEN}; (woke|awoke|woken|wakes) ~ (testicle"
    "|testicular|testis|scrotal|groin|pain); (hour|hours|minutes) ago; for (two|three|four"
    "|five|six|1|2|3|4|5|6|an|one) (hour|hours); since this morning; started this morning",
    "torsion_signs": "(absent|no|lost|missing) cremasteric; cremasteric reflex ~ absent; (high riding|high"
    "|horizontal|transverse lie|bell clapper) ~ (testis|testicle|lie); (testis|testicle) ~ "
    "(high|horizontal|high riding|drawn up|riding); testicular torsion; torted testis; "
    "torsion of ~ (testis|testicle)",
    "pelvic_pain": "(pelvic|iliac fossa|lower abdominal|lower tummy|low tummy|adnexal|lower belly|lower "
    "stomach) ~ pain; pain ~ (pelvis|iliac fossa|low on the left|low on the right|lower "
    "abdomen|lower tummy|low down|adnexa|lower belly); pain low on the left; pain low on the "
    "right; pain low ~ (left|right|side)",
    "abdominal_pain": "(abdominal|tummy|belly|stomach|pelvic|iliac fossa) ~ (pain|pains|cramps|cramping|ache); "
    "pain ~ (abdomen|tummy|belly|stomach|pelvis|pelvic|low down|lower); sharp pain low; pain "
    "low on",
    "one_sided_pelvic_pain": "(sudden|severe|acute|suddenly|agonising|sharp) ~ (left|right|one sided|one side|iliac "
    "fossa|pelvic|unilateral) ~ (pain|pelvic|lower); (left|right|one sided|unilateral) ~ "
    "(pelvic|iliac fossa|lower abdominal|adnexal|lower tummy) ~ pain",
    "ovarian_mass": "ovarian (cyst|dermoid|mass|tumour|tumor|teratoma|cysts|dermoid cyst); dermoid [cyst]; "
    "(cyst|mass) ~ ovary; adnexal mass; (enlarged|swollen|big) ~ ovary; ovarian "
    "hyperstimulation",
    "ovarian_no_flow": "(ovary|ovarian) ~ (without|no|absent|reduced) ~ flow; (whirlpool sign|ovarian torsion"
    "|twisted ovary|torted ovary|adnexal torsion|ovarian torsion suspected); (absent|no"
    "|reduced) ~ (flow|doppler) ~ ovary",
    "shoulder_tip_pain": "shoulder tip [pain]; pain ~ (shoulder tip|tip of the shoulder)",
}

PREGNANCY = {
    "vaginal_bleeding": "vaginal (bleeding|bleed|blood|spotting); spotting; bleeding ~ (vagina|down below|down "
    "there|vaginally|front passage); pv bleed*; (bright red|fresh|heavy) ~ (vaginal"
    "|bleeding); antepartum (haemorrhage|hemorrhage); (soaking|soaked) ~ (pads|pad); passing "
    "clots; bleeding; bled; (lost|losing|loss of) ~ blood; blood loss",
    "abruption_signs": "(womb|uterus|abdomen) ~ (hard|woody|rigid|tense|tender|contracted); (hard|woody|tense"
    "|rigid) ~ (womb|uterus); placental abruption; abruption; placenta (praevia|previa); "
    "uterine rupture; cord prolapse; vasa praevia",
    "postpartum_haemorrhage": "postpartum (haemorrhage|hemorrhage); pph; (boggy|atonic) ~ uterus; uterus ~ (boggy"
    "|atonic|not contracted); retained placenta",
    "heavy_bleeding": "(heavy|soaking|torrential|massive) ~ (lochia|bleeding|blood loss); (lost|losing) ~ "
    "blood; blood loss",
    "missed_period": "missed ~ (period|periods); late period; period ~ (late|overdue|missed); amenorrh*; "
    "(overdue|late) ~ period",
    "ectopic_risk": "(previous|prior|past) ~ (ectopic|tubal surgery|tubal); tubal (surgery|ligation"
    "|pregnancy); (iud|coil|ivf) in situ; pelvic inflammatory disease; ivf",
    "ectopic_named": "(ruptured|suspected|possible|tubal|probable|new) ~ ectopic; ectopic pregnancy; pregnancy "
    "of unknown location; empty uterus ~ (hcg|free fluid|adnexal)",
    "pre_eclampsia_symptoms": "headache; headaches; flashing lights; seeing spots; visual (disturbance|disturbances"
    "|symptoms); blurred vision; blurry vision; epigastric pain; pain under ~ ribs; pain ~ "
    "(ribs|right upper|upper abdomen|below the ribs); right upper quadrant pain; (swollen"
    "|puffy|swelling) ~ (face|hands); (face|hands) ~ (swollen|puffy|swelling); swollen face; "
    "vision ~ (blurred|spots|flashing); clonus; vomiting",
    "proteinuria": "proteinuria; protein ~ urine; (protein|proteinuria) (1+|2+|3+|4+); (2+|3+|4+) protein; "
    "protein (2|3|4) plus; dipstick ~ protein; urine ~ protein",
    "eclampsia_named": "eclampsia; eclamptic; pre eclampsia; preeclampsia; hellp; hellp syndrome; toxa?emia of "
    "pregnancy",
    "fetal_movement": "(reduced|absent|no|fewer|less|not felt) ~ (fetal movements|foetal movements|baby move"
    "|baby moving|movements); (baby|fetus) ~ (not moved|stopped moving|not moving|hasn't "
    "moved|moving less)",
}

INFECTION = {
    "fever": "fever*; feverish; febrile; pyrexi*; high temperature; rigor; rigors; burning hot; "
    "burning up; shivering; shaking chills; chills; feels hot; temperature ~ high; shaking "
    "since",
    "infection": "infect*; pneumonia; cellulitis; uti; urosepsis; pyelonephritis; cough; phlegm; sputum; "
    "burning ~ (urine|pee|wee|urinating); dysuria; abscess; wound ~ (pus|red|discharge"
    "|infected); catheter; cholangitis; appendicitis; rigor*; purulent; pus; sepsis; septic; "
    "meningitis; endocarditis; peritonitis; diarrhoea; diarrhea; chorioamnionitis; central "
    "line; pressure sore; sore throat; influenza; covid; ulcer ~ (red|infected|pus)",
    "septic_named": "septic shock; (severe|suspected|neutropenic|acute|probable|presumed) sepsis; red flag "
    "sepsis; septica?emi*",
    "sepsis_signs": "mottled; mottling; ashen; cyanos*; cyanotic; non blanching rash; newly confused; new "
    "confusion; confused; confusion; drowsy; delirious; hard to rouse; (not|no|hasn't|barely) "
    "~ (passed|passing) ~ urine; anuri*; oliguri*; clammy; cold peripheries; cold hands and "
    "feet; noradrenaline; norepinephrine; vasopressor*",
    "chemotherapy_recent": "(day|days|week|weeks) ~ (after|post|since|of) ~ (chemotherapy|chemo|docetaxel|cycle"
    "|transplant); (chemotherapy|chemo|docetaxel|paclitaxel|cycle|carboplatin|cisplatin"
    "|doxorubicin|infusion) ~ (days|day|week|weeks|last week|yesterday) [ago]; (on|having"
    "|receiving|undergoing|during|between) ~ (chemotherapy|chemo|treatment); (leuka?emia"
    "|lymphoma) ~ on treatment; neutropenic; cycle ~ chemo*; after chemotherapy; last chemo*; "
    "on treatment",
    "petechiae": "petechia*; purpura*; purpuric; non blanching; non-blanching; (do not|does not|doesn't"
    "|don't|not|won't|fails to|did not|didn't) (fade|blanch|disappear) ; (purple|dark red"
    "|bruise like) ~ (spots|rash|blotches|patches|marks); pinprick ~ (rash|spots)",
    "necrotising_named": "necroti[sz]ing fasciitis; necroti[sz]ing (soft tissue|infection|cellulitis); fournier*; "
    "gas gangrene; flesh eating",
    "soft_tissue_infection": "cellulitis; skin infection; leg infection; wound infection; (wound|surgical wound) ~ "
    "(infected|red|hot); erysipelas; infected (wound|cut|ulcer|leg|bite); (infection"
    "|infected) ~ (leg|arm|skin|wound|groin|hand|foot|thigh); swollen ~ (leg|arm|thigh"
    "|scrotum|groin); (scrotum|groin|perineum|perineal) ~ (swollen|painful|infection|swelling"
    "|red); abscess",
    "necrosis_signs": "crepit*; crackling ~ skin; gas ~ (tissue|tissues|x ray|xray|skin|ct|imaging|soft); "
    "(dusky|black|purple|violaceous|grey|necrotic|haemorrhagic|hemorrhagic|blue) ~ (blister"
    "|blisters|bullae|skin|patch|patches); skin ~ (turning purple|dusky|black|necrotic|dead"
    "|going black|going purple|violaceous|purple); bullae; woody ~ (feel|induration); "
    "dishwater",
    "pain_out_of_proportion": "(pain|agony|agonising|tenderness) ~ (out of proportion|beyond how it looks|far beyond"
    "|far worse than); out of proportion; agonising far; (excruciating|unbearable|agonising) "
    "~ (leg|wound|skin|arm)",
    "spreading_fast": "(spreading|spread|spreads|advancing|extending|progressing) ~ (by the hour|hourly|rapidly"
    "|fast|quickly|within hours|hours|minutes); rapidly (spreading|progressing|progressive"
    "|advancing)",
    "hot_joint": "(hot|warm|red|swollen) [hot|warm|red|swollen] [exquisitely|very|extremely|acutely] "
    "[painful|tender|swollen] [left|right] (joint|knee|hip|elbow|ankle|wrist|shoulder); (hot"
    "|warm|red|swollen) ~ (joint|knee|hip|elbow|ankle|wrist|shoulder); (joint|knee|hip|elbow"
    "|ankle|wrist|shoulder) ~ (hot|red|swollen|warm|effusion);  prosthetic (hip|knee|joint); "
    "refuses to (walk|weight bear|stand|move)",
    "septic_joint": "septic (arthritis|joint|knee|hip); (infected|infection of) [the|his|her] (prosthetic "
    "joint|prosthesis|joint|knee replacement|hip replacement)",
    "joint_movement_pain": "(range of motion|range of movement|movement|movements) ~ (limited|restricted|reduced"
    "|painful); (limited|restricted|reduced|painful) range of (motion|movement); "
    "(excruciating|severe|intense) ~ (knee|hip|elbow|ankle|wrist|shoulder|joint) ~ pain; "
    f"{CANNOT} (bear weight|weight bear|walk); {CANNOT} move ~ (joint|knee|hip); not weight "
    "bearing; non weight bearing; refuses to (walk|weight bear|stand|move); (pain|painful"
    "|severe pain|agony) ~ (slightest movement|any movement|movement|moving); any movement ~ "
    "(painful|pain|agony); exquisitely (painful|tender); (movement|moving) ~ (very painful"
    "|agony|impossible); holds ~ (hip|knee|leg) (bent|flexed|still); pseudoparalysis",
    "unwell_infant": "not (feeding|waking|drinking); feeding (less|poorly); poor feeding; floppy; grunting; "
    "not waking for feeds; weak cry",
}

METABOLIC = {
    "diabetes": "diabet*; type 1; type 2; insulin; t1dm; t2dm",
    "sglt2": "dapagliflozin; empagliflozin; canagliflozin; ertugliflozin; sglt2 [inhibitor]; sglt 2 inhibitor",
    "dka_named": "(severe|acute|suspected|in|new|mild|moderate|euglyca?emic) (dka|diabetic ketoacidosis"
    "|ketoacidosis); diabetic ketoacidosis; dka",
    "acid_breath": "(pear drops|fruity|acetone|nail varnish) ~ (breath|smell|smells|odour|odor|scent); "
    "breath ~ (pear drops|fruity|acetone|sweet); kussmaul*; (deep|sighing) ~ (breathing"
    "|respirations|breaths); breathing ~ (deep|sighing)",
    "dka_symptoms": "vomiting; vomited; kussmaul*; (deep|sighing|rapid deep) ~ breathing; (pear drops|fruity"
    "|acetone|nail varnish) ~ (breath|smell|smells); breath ~ (pear drops|fruity|acetone"
    "|sweet); (abdominal|tummy|belly|stomach) pain; drowsy; sleepy; dehydrat*; weight loss; "
    "drinking and passing urine; polyuria; polydipsia; thirst*",
    "high_sugar_words": "(sugar|glucose|meter|glucometer|bm) ~ (reads|reading|says|shows) (hi|high); sugar ~ off "
    "the scale; unrecordably high; hhs; hyperosmolar hyperglyca?emic",
    "ran_out_insulin": "(ran out of|stopped|missed|omitted|without|not taken|no) ~ insulin; insulin ~ (stopped"
    "|missed|omitted|ran out); pump ~ (failed|failure|disconnected|blocked)",
    "ketosis": "ketosis; ketona?emia; ketonuria; (ketones|ketone) ~ (high|raised|elevated|positive|large"
    "|+++|3+|4+); (raised|high|large|moderate|elevated) ~ ketones; (3+|4+) ketones",
    "acidosis": "(metabolic|severe|lactic) acidosis; ketoacidosis; acidotic",
    "hypo_symptoms": "hypoglyca?emi*; hypo; hypos; severe hypo",
    "hyperkalaemia_ecg": "(tented|peaked|tall) t waves; sine wave; (broad|wide|widened|broadened) qrs; flattened p "
    "waves",
    "kidney_failure": "dialysis; aki; acute kidney injury; renal failure; kidney failure; anuri*; end stage "
    "renal; ckd; chronic kidney disease; rhabdomyolysis; crush injury",
    "missed_dialysis": "missed ~ dialysis; (missed|skipped) ~ (session|sessions) ; missing dialysis",
    "weakness": "weak; weakness; palpitations; paralysis",
    "adrenal_insufficiency": "addison*; adrenal insufficiency; adrenal failure; hypopituitar*; congenital adrenal "
    "hyperplasia; adrenalectomy; hypoadrenal*; steroid dependent; pituitary (surgery|failure"
    "|apoplexy)",
    "long_term_steroid": "(prednisolone|prednisone|dexamethasone|steroids|hydrocortisone|steroid) ~ (years|months"
    "|long term|daily); long term (steroid|steroids|prednisolone|prednisone); hydrocortisone; "
    "fludrocortisone",
    "steroid_stopped": "(steroid|steroids|prednisolone|prednisone|hydrocortisone|dexamethasone) ~ (stopped"
    "|missed|ran out|withdrawn|not taken|forgot|lost); (stopped|stopping|missed|ran out of"
    "|forgot|withdrew|omitted) ~ (steroid|steroids|prednisolone|prednisone|hydrocortisone"
    f"|dexamethasone|tablets); {CANNOT} ~ keep ~ (hydrocortisone|steroid|steroids|tablets"
    "|medication|anything) ~ down; stopped abruptly",
    "adrenal_crisis_named": "(adrenal|addisonian) crisis; addison's crisis; acute adrenal insufficiency",
    "shock_words": "hypotensi*; shock; shocked; collapsed; collapse; peripherally shut down; low blood "
    "pressure; drowsy; unresponsive; obtunded",
    "allergic_exposure": "(stung|sting|bitten|ate|eating|eaten|after eating) ~ (wasp|bee|hornet|peanut|peanuts|nut"
    "|nuts|prawn|prawns|shellfish|egg|fish|sesame|milk|cashew|walnut|almond|kiwi|crab|ant"
    "|ants|lobster|wheat); (wasp|bee|hornet) sting; stung by; (after|dose|doses|given"
    "|injection|infusion|took|taking|started) ~ (amoxicillin|co amoxiclav|penicillin"
    "|antibiotic|cephalosporin|ceftriaxone|contrast|vaccine|nsaid|ibuprofen|cefuroxime"
    "|teicoplanin|rocuronium|cefazolin|flucloxacillin|piperacillin); allergic reaction; "
    "allergen; (ate|eating) ~ (restaurant|peanut|nut)",
    "hives": "urticari*; hives; (itchy|widespread|generalised|generalized) ~ (rash|welts|wheals); "
    "wheals; welts; rash all over; flushed all over; flushing; itchy all over",
    "face_swelling": "(lips|lip|tongue|face|eyes|throat|mouth) ~ (swollen|swelling|swelled|puffy|puffing up"
    "|puffing|swell|closing|tight); (swelling|swollen) ~ (lips|lip|tongue|face|throat|mouth"
    "|eyelids); angioedema; angiooedema; angio oedema",
    "anaphylaxis_breathing": f"wheez*; stridor; throat ~ (closing|tight|tightening|closed); {CANNOT} breathe; "
    "struggling to breathe; (difficulty|trouble) breathing; short of breath; hoarse*; "
    "bronchospasm; breathless; tight chest; chest tightness; cannot swallow",
    "anaphylaxis_circulation": "faint; feels faint; fainted; collapsed; collapse; hypotensi*; dizzy; lightheaded; "
    "shocked; grey and; passed out; lost consciousness; floppy",
    "anaphylaxis_now": "(in|acute|suspected|having|severe|probable|developing) anaphyla*; anaphylactic shock; "
    "(epipen|adrenaline|epinephrine) ~ (given|used|administered) ~ (ago|now|minutes|just)",
}

INJURY_AND_MIND = {
    "head_blow": "(hit|hits|hitting|banged|bumped|knocked|struck|striking|bashed|hurt|cracked|smashed) ~ "
    "head; laceration ~ (forehead|scalp|head); scalp (laceration|haematoma|hematoma); motor "
    "vehicle (collision|accident|crash); (car|bicycle|motorcycle|traffic) (crash|accident"
    "|collision); head to head; head on ~ (floor|ground|pavement|road|concrete); head (injury"
    "|trauma|strike|wound|struck); head ~ (injury|struck|hit|banged|bumped); injury ~ head; "
    "knocked out; (blow|kick|hit) to the head; (banged|hit) the back of the head; fell ~ "
    "head; traumatic brain injury; skull (fracture|injury)",
    "head_danger_signs": "(vomited|vomiting|sick) ~ (repeatedly|twice|times|several|since|now|again|and); "
    "vomiting; knocked out; (loss of consciousness|lost consciousness|loses consciousness"
    "|unconscious|blacked out|passed out); lethargic; somnolent; confused; confusion; drowsy; "
    "amnesi*; (seizure|fit|convulsion); (headache|head pain) ~ (severe|worse|worsening|since"
    "|getting); (clear|watery|bloody) fluid ~ (ear|nose); battle* sign; bruising behind ~ "
    "ear; (panda|raccoon) eyes; unequal pupils; (pupil|pupils) ~ (unequal|blown|dilated"
    "|fixed); blood ~ ear; skull fracture; weakness of; haemotympanum; hemotympanum; csf leak",
    "overdose_taken": "(empty|missing) ~ (bottle|packet|packets|blister pack|blister packs) ~ (pill|pills"
    "|tablet|tablets|medication|medicine|beside|next to); (bottle|packet|packets) of (pills"
    "|tablets|medication) ~ (next to|beside|empty|bedside|missing); next to a bottle of "
    "pills; (took|taken|swallowed|ingested|has taken|drank|taking|swallowing|injected"
    "|overdosed|eaten) ~ (overdose|whole packet|packet of|box of|bottle of|handful|all the "
    "tablets|all her tablets|all his tablets|bleach|antifreeze|weed killer|pesticide|paraquat"
    "|button battery|too many|entire|packets|strips|whole box|whole bottle|lots of|methanol);"
    "(took|swallowed|ingested|taken|has taken|having taken) ~ (#|ten|twelve|fifteen|sixteen"
    "|twenty|thirty|forty|fifty|sixty|hundred|loads of|dozens of|dozen) ~ (tablet|tablets"
    "|pill|pills|capsules|paracetamol|acetaminophen|ibuprofen|aspirin|tylenol|codeine);"
    "(intentional|deliberate|acute|suspected|mixed|massive|staggered|accidental|large|opioid"
    "|paracetamol|heroin) ~ (overdose|ingestion|poisoning); overdosed on; overdose of; took "
    "an overdose; poisoned; poisoning; toxic ingestion; overdose",
    "opioid_signs": "(pinpoint|pin point|pinhole|constricted) pupils; pupils ~ (pinpoint|pin point); (heroin"
    "|fentanyl|methadone|oxycodone|morphine|opioid|opiate) ~ (next to|beside|overdose"
    "|unresponsive|found|injected|took|taken); needle ~ arm",
    "unresponsive": "unresponsive; unconscious; unrousable; unarousable; not responding; comatose; coma; "
    "(will not|won't|cannot be|can't be|could not be|hard to|cannot) (wake|woken|rouse|roused"
    "|waken); (responds|responding|responsive) only to (pain|voice); avpu p; passed out and",
    "carbon_monoxide": "carbon monoxide; smoke inhalation; burning (building|house|home|flat|car); house fire; "
    "(rescued|retrieved|pulled) from ~ fire; (gas heater|boiler|barbecue|generator|gas fire"
    "|charcoal|exhaust|gas stove) ~ (headache|headaches|indoors|lit|tent|garage|on|running"
    "|room); (headache|vomiting|headaches|dizzy|ill|unwell|sick) ~ (whole family|everyone"
    "|housemates|all of us|household)",
    "suicidal": "(kill|killing|hang|shoot|harm|drown|stab) (himself|herself|myself|themselves|themself"
    "|themselves); suicidal; suicide ~ (plan|note|attempt|intent|tonight|thoughts|thinking); "
    "(wants|want|wanting|wish|wishes|wished|going|plans|planning|ready) to die; wish ~ (dead"
    "|was dead|were dead|not wake); (end|ending|take|taking) [it|my|his|her] (life|own life"
    "|all|it all); end it [all]; ending it all; (better off|happier) (without me|dead|if i); "
    "better off without (me|him|her); (do not|don't|does not|doesn't|no longer) want ~ (live"
    "|be here|to be alive|wake up|go on living|exist); (nothing|no reason|no point) ~ (to "
    "live for|live|living|going on); (can't|cannot|can not) go on [living]; tired of living; "
    "not worth living; life ~ (not worth|no point); thoughts of (suicide|ending|killing|death"
    "|dying); (jump|jumping|jumped) ~ (train|bridge|roof|window|cliff|building); saving up ~ "
    "(tablets|pills); goodbye (letters|note|letter|messages); written letters ~ children; "
    "attempted (suicide|hanging|to hang); (tried|trying) to (hang|kill|drown|suffocate)",
    "self_harm": "(cutting|cut|cuts|burning|hurting|harming) ~ (herself|himself|myself|arms|wrists|wrist"
    "|her arms|his arms); self harm*; self harming; slashed ~ (wrist|wrists)",
    "harm_others": "(kill|stab|hurt|shoot) (him|her|them|his|my|someone|people|everyone) ~ (voices|plan"
    "|tonight|knife|baby|family|wife|husband); voices ~ (kill|hurt|harm|stab); homicidal; "
    "(harm|kill|hurt|smother) (the|my|her|his) baby",
    "child_injury_pattern": "(bruising|bruise|bruises|bruised) ~ (ear|ears|neck|cheek|buttock|buttocks|torso|back"
    "|handprint|belt|genital|non mobile|face); (finger|grip|hand|bite) (marks|mark|print"
    "|prints); (spiral|metaphyseal|rib|posterior rib|healing|multiple|unexplained) ~ "
    "(fracture|fractures); cigarette burn*; (scald|burn) ~ (glove|stocking|immersion"
    "|pattern); torn fren*; retinal (haemorrhage|hemorrhage|haemorrhages|hemorrhages); shaken "
    "baby; (bruise|bruises|bruising) ~ (baby|infant|week old|month old)",
    "story_changes": "(changing|inconsistent|conflicting|different|vague|unexplained|changes|contradictory) ~ "
    "(story|stories|account|accounts|explanation|explanations|history|histories); (story"
    "|stories|account|explanation) ~ (changes|changing|inconsistent|does not fit|doesn't fit"
    "|keeps changing|not consistent); no explanation ~ (injury|bruise|bruises); (parents"
    "|carers) give ~ stories; delay ~ seeking",
    "abuse_told": "(husband|wife|partner|boyfriend|girlfriend|father|mother|stepfather|stepmother|uncle"
    "|carer|son|daughter|parents|dad|mum|coach|brother|ex) [who] [often|regularly|sometimes"
    "|keeps] (hits|hit|beats|beat|hitting|beating|kicks|kicked|punches|punched|strangles"
    "|strangled|chokes|choked|rapes|raped|abuses|abused|slaps|burns); (afraid|scared"
    "|frightened|terrified) to (go|return|be) home; (afraid|scared|frightened) of (her|his"
    "|my) (husband|partner|wife|father|carer|son|boyfriend|stepfather); (touching|touched"
    "|touches) ~ (sexually|private parts|inappropriately|down there); (he|she) [often"
    "|regularly|sometimes|keeps] (hits|hit|beats|beat|hitting|beating|kicks|kicked|punches"
    "|punched|strangles|strangled|choked|rapes|raped|slaps) (me|her|him|us|them); (husband"
    "|wife|partner|boyfriend|girlfriend|father|stepfather|mother|son|daughter|carer) ~ "
    "responsible for ~ (injury|injuries|bruises); (sexual|physical|domestic) (abuse|assault"
    "|violence); sexually (abused|assaulted); raped; strangled by; human trafficking; "
    "trafficked; forced marriage; female genital mutilation; not allowed to leave; locked in "
    "[the|a] (room|house)",
    "limb_ischaemia_named": "(acute|critical|suspected) limb isch?a?emia; acute ~ (limb|leg|arm) isch?a?emia; embolic "
    "~ (leg|limb|arm); ischaemic limb; ischemic limb; ischaemic leg; threatened limb; "
    "compartment syndrome; compartment pressure",
    "cold_white_limb": "(leg|foot|arm|hand|limb|extremity) ~ (colder|cooler|paler); (colder|cooler|paler) ~ (leg"
    "|foot|arm|hand|limb|extremity|side); (cold|pale|white|cool) [cold|pale|white|painful"
    "|numb|pulseless|mottled] [cold|pale|white|painful|numb|pulseless|mottled] [left|right"
    "|lower] (leg|foot|arm|hand|limb|toes|fingers); (cold|pale|white|cool) ~ (leg|foot|arm"
    "|hand|limb|toes|fingers); (leg|foot|arm|hand|limb|toes) ~ (cold|pale|white|cool|gone "
    "white|went white|icy|ice cold|mottled); (white|cold) and (cold|white|numb|painful)",
    "limb_no_pulse": "(no|absent|without) palpable ~ (pulse|pulses); (popliteal|pedal|femoral|radial|brachial"
    "|distal|dorsalis pedis|posterior tibial) ~ (weak|weaker|absent|diminished|reduced|faint"
    "|impalpable); (weak|diminished|reduced|faint|absent|no) (popliteal|pedal|femoral|radial"
    "|brachial|distal|dorsalis pedis) pulse; (absent|diminished|weak|no) (popliteal|pedal"
    "|femoral|radial|brachial|distal|dorsalis pedis) pulses; (no|absent|without|lost"
    "|impalpable) ~ pulses; pulseless; (pulses|pulse) ~ (absent|lost|not felt|impalpable); "
    "(numb|numbness|weak|paraesthesia|paresthesia|paralysed) ~ (toes|foot|leg|hand|fingers"
    "|arm|grip); (toes|foot|leg|hand|fingers|arm) ~ (numb|paraesthesia|paresthesia|weak"
    f"|paralysed|dead); {CANNOT} ~ feel ~ (toes|foot|leg|hand|fingers|arm); (paraesthesia"
    "|paresthesia) and weak grip",
    "sudden_limb": f"{SUDDEN} ~ (cold|pale|pain|painful|white|leg|arm|foot|hand|limb); (cold|pale|white|leg"
    f"|arm|foot|hand|limb|painful) ~ {SUDDEN}; (hour|hours|minutes) ago; since (this morning"
    "|last night|yesterday|an hour); for (two|three|four|five|six|an|2|3|4|5|6) (hour|hours)",
    "limb_words": "leg; foot; arm; hand; limb; toes; fingers",
}
