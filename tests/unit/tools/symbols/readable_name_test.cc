#include "tools/symbols/readable_name.h"

#include <gtest/gtest.h>

#include "tools/symbols/helpers.h"

namespace memtrace::tools {
namespace {

#define STRING "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"

TEST(ReadableNameTest, TypesOfTheStandardLibrary) {
  EXPECT_EQ(ReadableName("f(" STRING " const&)"), "f(std::string const&)");
  EXPECT_EQ(ReadableName("std::vector<" STRING ", std::allocator<" STRING " > >::at(unsigned long)"),
            "std::vector<std::string>::at(unsigned long)");
  EXPECT_EQ(ReadableName("f(std::map<int, long, std::less<int>, std::allocator<std::pair<int const, long> > >&)"),
            "f(std::map<int, long>&)");
  EXPECT_EQ(ReadableName("std::__cxx11::list<int, shop::Pool<int> >::clear()"),
            "std::list<int, shop::Pool<int>>::clear()");
  EXPECT_EQ(ReadableName("PyList_New"), "PyList_New");
}

TEST(ReadableNameTest, ArgumentsAndReturnTypesGo) {
  EXPECT_EQ(BareName("shop::AuditTrail::RecordCancellation(" STRING " const&)"),
            "shop::AuditTrail::RecordCancellation");
  EXPECT_EQ(BareName("void shop::Add<int>(int) [clone .cold]"), "shop::Add<int>");
  EXPECT_EQ(BareName("shop::(anonymous namespace)::Load(char const*) const"), "shop::(anonymous namespace)::Load");
  EXPECT_EQ(BareName("main::{lambda(int)#1}::operator()(int) const"), "main::{lambda(int)#1}::operator()");
  EXPECT_EQ(BareName("Run(int)::{lambda()#1}::operator()() const"), "Run(int)::{lambda()#1}::operator()");
  EXPECT_EQ(BareName("std::ostream& std::operator<< <char>(std::ostream&, char)"), "std::operator<< <char>");
  EXPECT_EQ(BareName("Money::operator unsigned long() const"), "Money::operator unsigned long");
  EXPECT_EQ(BareName("Arena::operator new(unsigned long)"), "Arena::operator new");
  EXPECT_EQ(BareName("Text::operator[](int)"), "Text::operator[]");
  EXPECT_EQ(BareName("std::to_string[abi:cxx11](int)"), "std::to_string");
  EXPECT_EQ(BareName(STRING " std::operator+<char, std::char_traits<char>, std::allocator<char> >(char const*)"),
            "std::operator+<char>");
  EXPECT_EQ(BareName("bool shop::operator==<int>(int, int)"), "shop::operator==<int>");
  EXPECT_EQ(BareName("copy [clone .part.0]"), "copy");
}

// What C++20's containers are built with.
TEST(ReadableNameTest, ReturnTypesThatAreExpressionsGo) {
  const std::string construct =
      "decltype (::new((void*)(0)) std::string(std::declval<unsigned long>(), std::declval<char>())) "
      "std::construct_at<std::string, unsigned long, char>(std::string*, unsigned long&&, char&&)";
  EXPECT_EQ(BareName(construct), "std::construct_at<std::string, unsigned long, char>");
  EXPECT_EQ(BareName("decltype(auto) app::Visit<int>(int)"), "app::Visit<int>");
  EXPECT_EQ(BareName("app::decltype_of(int)"), "app::decltype_of");
  EXPECT_EQ(BareName("decltype (1"), "decltype (1");
}

TEST(ReadableNameTest, GivesWayStepByStep) {
  const char* name = "void shop::Table<shop::Order>::Insert(shop::Order const&)";
  EXPECT_EQ(NameWithin(name, 80), name);
  EXPECT_EQ(NameWithin(name, 40), "shop::Table<shop::Order>::Insert(...)");
  EXPECT_EQ(NameWithin(name, 33), "shop::Table<shop::Order>::Insert");
  EXPECT_EQ(NameWithin(name, 25), "shop::Table<...>::Insert");
  EXPECT_EQ(NameWithin(name, 3), "shop::Table<...>::Insert");
}

TEST(ReadableNameTest, NamesOfRust) {
  const char* name = "<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem::<alloc::alloc::Global>";
  EXPECT_EQ(BareName(name), "<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem");
  EXPECT_EQ(NameWithin("<std::collections::HashMap<usize, alloc::string::String>>::insert", 50),
            "<std::collections::HashMap<...>>::insert");
  EXPECT_EQ(NameWithin("<<shop::Store<u64> as shop::Keep<u8>>::Kept as core::clone::Clone>::clone", 30),
            "<<shop::Store<...> as shop::Keep<...>>::Kept as core::clone::Clone>::clone");
  EXPECT_EQ(TailOfName("<std::collections::HashMap<...>>::insert", 12), "...insert");
}

TEST(ReadableNameTest, TheEndOfANameSaysMost) {
  EXPECT_EQ(TailOfName("shop::Queue::Push", 20), "shop::Queue::Push");
  EXPECT_EQ(TailOfName("shop::(anonymous namespace)::Queue::Push", 20), "...Queue::Push");
  EXPECT_EQ(TailOfName("shop::Map<a::b, c::d>::Insert", 12), "...Insert");
  EXPECT_EQ(TailOfName("shop::AVeryLongFunctionName", 12), "...AVeryLongFunctionName");
  EXPECT_EQ(TailOfName("AVeryLongFunctionName", 12), "AVeryLongFunctionName");
  EXPECT_EQ(TailOfName("shop::Iterator::operator->", 8), "...operator->");
}

TEST(ReadableNameTest, AnythingAtAllIsANameOfItsOwn) {
  for (const char* name : {"", "(", ")", "<", ">", " ", "operator", "operator ", "operator(", "a<b(c>", "f()::", "[",
                           ", std::less<", "std::__cxx11::", ")>}]", "operators(int)", "a ("}) {
    EXPECT_LE(BareName(name).size(), std::string_view(name).size() + 5) << name;
    EXPECT_LE(NameWithin(name, 1).size(), std::string_view(name).size() + 5) << name;
  }
  EXPECT_EQ(ReadableName(std::string(1 << 20, '<')).size(), 1u << 20);
}

TEST(HelperTableTest, WhatOnlyPassesAnAllocationOn) {
  const HelperTable helpers;
  EXPECT_EQ(helpers.OwnerOf("void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int&&)"),
            "the standard library");
  EXPECT_EQ(helpers.OwnerOf("shop::Order* std::__do_uninit_copy<shop::Order>(shop::Order*)"), "the standard library");
  EXPECT_EQ(helpers.OwnerOf(STRING " std::operator+<char, std::char_traits<char> >(char const*)"),
            "the standard library");
  EXPECT_EQ(helpers.OwnerOf("operator new[](unsigned long)"), "the standard library");
  EXPECT_EQ(helpers.OwnerOf("Perl_safesysmalloc"), "Perl");
  EXPECT_EQ(helpers.OwnerOf("g_malloc0"), "GLib");
  EXPECT_EQ(helpers.OwnerOf("PyMem_RawMalloc"), "Python");
  EXPECT_EQ(helpers.OwnerOf("xmalloc"), "an allocation wrapper");
  EXPECT_EQ(helpers.OwnerOf("std::string shop::NameOf(std::string)"), "");
  EXPECT_EQ(helpers.OwnerOf("standard"), "");
  EXPECT_EQ(helpers.OwnerOf(""), "");
  EXPECT_EQ(helpers.OwnerOf("strdup"), "the C library");
  EXPECT_EQ(helpers.OwnerOf("strdup_of_the_shop"), "");
  EXPECT_EQ(helpers.OwnerOf("<alloc::string::String as core::clone::Clone>::clone"), "Rust's library");
  EXPECT_EQ(helpers.OwnerOf("<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem::<alloc::alloc::Global>"),
            "Rust's library");
  EXPECT_EQ(helpers.OwnerOf("<std::collections::hash::map::HashMap<usize, u8>>::insert"), "Rust's library");
  EXPECT_EQ(helpers.OwnerOf("<[u8]>::repeat"), "Rust's library");
  EXPECT_EQ(helpers.OwnerOf("<shop::Order as core::clone::Clone>::clone"), "");
  EXPECT_EQ(helpers.OwnerOf("<shop::Order>::open"), "");
}

TEST(HelperTableTest, UsersAddTheirOwn) {
  HelperTable helpers;
  helpers.Add("# ours\n\n  shop::Allocate*  \r\nshop_new");
  EXPECT_EQ(helpers.OwnerOf("void* shop::Allocate<int>(int) [clone .cold]"), "helpers that you named");
  EXPECT_EQ(helpers.OwnerOf("shop_new"), "helpers that you named");
  EXPECT_EQ(helpers.OwnerOf("shop_new_order"), "");
  EXPECT_EQ(helpers.OwnerOf("# ours"), "");
  EXPECT_EQ(helpers.OwnerOf("xmalloc"), "an allocation wrapper");
}

}  // namespace
}  // namespace memtrace::tools
