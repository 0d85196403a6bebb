"""Common given names in several languages: what lets `gazal.identifiers` see a name that no title announces.

Names that are everyday or clinical words in English (May, Rose, Grace, Will, Mark, Grant, Art, Faith, Victor, Ruth is
kept) or that begin an eponym used alone (Graham, Austin, Ramsay, Parkes) are left out: redacting a finding does more
harm than the rare miss. Collected from general knowledge of national name statistics; nobody's record was used.
"""

from __future__ import annotations

GIVEN_NAMES = frozenset(
    """
    Aaron Abdul Abdullah Abigail Adam Adele Adrian Agnes Ahmad Ahmed Aisha Alan Albert Alejandro Alexander Alexandra
    Alfred Ali Alice Alison Amanda Amina Amir Amy Ana Andrea Andreas Andrew Angela Anita Ann Anna Anne Annette
    Anthony Antonio Arthur Ashley Ayesha Barbara Benjamin Bernard Beth Betty Beverly Bilal Brenda Brian Bruce Carl
    Carla Carlos Carmen Carol Caroline Catherine Cathy Cecilia Charles Charlotte Chen Cheryl Chloe Christian
    Christina Christine Christopher Claire Clara Colin Craig Cynthia Daniel Daniela David Dawn Deborah Denise Dennis
    Derek Diana Diane Dmitri Donald Donna Dorothy Douglas Edith Edward Eileen Elaine Eleanor Elena Elisabeth
    Elizabeth Ella Ellen Emily Emma Eric Erica Ethan Eva Evelyn Farah Fatima Fatma Fernando Fiona Florence Francesca
    Francis Francisco Frank Franz Fred Frederick Gareth Gary Geoffrey George Georgia Gerald Geraldine Gillian
    Giovanni Giulia Gloria Gordon Greg Gregory Gwen Habib Hamza Hannah Hans Harold Harriet Harry Hassan Hasan
    Heather Heinrich Helen Helga Henry Hilda Hiroshi Howard Hugo Hussein Ian Ibrahim Ingrid Irene Isaac Isabel
    Isabella Isla Ivan Jack Jackie Jacob Jacqueline James Jane Janet Janice Jason Javier Jean Jeffrey Jennifer
    Jeremy Jessica Jill Joan Joanna Joanne Joe Johan Johanna John Jonathan Jorge Jose José Joseph Joshua Joyce Juan
    Judith Judy Julia Julian Julie Justin Karen Karim Karl Kate Katherine Kathleen Kathryn Katie Keith Kelly Kenneth
    Kevin Khaled Khalid Kimberly Klaus Kumar Kyle Larry Laura Lauren Layla Leila Leonard Leslie Liam Linda Lisa
    Lorraine Louis Louise Lucas Lucia Lucy Luis Luke Lynn Mahmoud Malcolm Manuel Marco Margaret Maria María Marie
    Marilyn Mario Marion Marjorie Martha Martin Mary Maryam Matthew Maureen Megan Mei Melanie Melissa Michael
    Michelle Miguel Mohamed Mohammad Mohammed Monica Muhammad Mustafa Nadia Nancy Naomi Natalie Natasha Neil
    Nicholas Nicola Nicole Nigel Noah Noor Nora Norma Oliver Olivia Olga Omar Oscar Pablo Pamela Patricia Patrick
    Paul Paula Pauline Pedro Peggy Peter Philip Phillip Phyllis Pierre Priya Rachel Rafael Rahul Raj Ralph Ramesh
    Raymond Rebecca Ricardo Richard Rita Robert Roberto Robin Roger Ronald Rosemary Ruth Ryan Said Salma Samantha
    Samira Samuel Sandra Sanjay Sara Sarah Scott Sean Sergei Shannon Sharon Sheila Shirley Simon Sophia Sophie
    Stanley Stefan Stella Stephanie Stephen Steve Steven Stuart Sunita Susan Suzanne Sven Sylvia Tamara Tariq Teresa
    Terence Thelma Theresa Thomas Tiffany Timothy Tina Tomasz Tracey Tracy Trevor Ursula Valerie Vanessa Vera
    Veronica Vikram Vincent Virginia Vivian Vladimir Walter Wanda Wayne Wendy Werner Wilhelm William Winifred
    Wolfgang Xavier Yasmin Yolanda Yusuf Youssef Yuki Zachary Zahra Zainab Zoe
    """.split()  # noqa: SIM905
)
